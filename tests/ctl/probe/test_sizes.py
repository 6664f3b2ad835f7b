"""The largest sizes of both ways are found exactly, and without asking more than it takes."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.probe.sizes import Sizes, find_sizes, largest
from orderd.wire.frames import DATAGRAM_BYTES_MAX
from orderd.wire.probes import PROBE_BYTES_MIN

SIZE = st.integers(PROBE_BYTES_MIN, DATAGRAM_BYTES_MAX)


class Path:
    """Carries so much each way, and counts what it was asked.

    Of seven questions the one that ``late`` names is answered too late, unless it was a patient one.
    """

    def __init__(self, to_engine: int, to_orderd: int, late: int = -1) -> None:
        self.to_engine, self.to_orderd, self.late = to_engine, to_orderd, late
        self.asked = 0

    def passes(self, size: int, reply_size: int, patient: bool) -> bool:
        assert PROBE_BYTES_MIN <= reply_size <= size, "a reply is never larger than its request"
        self.asked += 1
        if not patient and self.asked % 7 == self.late:
            return False
        return size <= self.to_engine and reply_size <= self.to_orderd


@given(SIZE, SIZE, SIZE, st.integers(-1, 2**17), st.integers(-1, 6))
def test_the_sizes_found_are_those_of_the_path_even_when_answers_come_late(
    to_engine: int, to_orderd: int, wanted: int, ceiling: int, late: int
) -> None:
    path = Path(to_engine, to_orderd, late)
    there, back = find_sizes(path.passes, wanted, ceiling)
    if wanted <= min(to_engine, to_orderd):
        assert there == back >= wanted
        assert there <= min(to_engine, to_orderd)
    else:
        assert there == min(wanted, to_engine)
        assert back == min(there, to_orderd)
    assert late >= 0 or path.asked <= 2 * 16 + 9


def test_a_path_that_takes_all_is_asked_twice_at_most() -> None:
    path = Path(65_507, 65_507)
    assert find_sizes(path.passes, 1472, 65_507) == (65_507, 65_507)
    assert path.asked == 2


def test_what_this_machine_knows_of_the_path_is_tried_first() -> None:
    path = Path(1372, 1372)
    assert find_sizes(path.passes, 1472, 1372) == (1372, 1372)
    assert path.asked < 12


def test_the_largest_passes_and_the_next_one_does_not() -> None:
    assert largest(lambda size: size <= 700, 112, 1472) == 700
    assert largest(lambda size: False, 112, 113) == 112


def test_usable_is_what_both_ways_take() -> None:
    assert Sizes(1472, 1000, 900, 1500).usable == 900
