"""A packet counter counts once, whatever the order, as long as it is not too old; against a set as model."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.link.replay_window import WINDOW, ReplayWindow

COUNTERS = st.lists(
    st.one_of(
        st.integers(0, 80),
        st.integers(WINDOW - 5, WINDOW + 5),
        st.integers(0, 3 * WINDOW),
        st.integers(0, 2**64 - 1),
    ),
    max_size=60,
)


class Model:
    def __init__(self) -> None:
        self.seen: set[int] = set()

    @property
    def largest(self) -> int:
        return max(self.seen, default=-1)

    def accept(self, counter: int) -> bool:
        if counter in self.seen or counter < self.largest - WINDOW:
            return False
        self.seen.add(counter)
        return True

    def bitmap(self) -> int:
        return sum(1 << i for i in range(64) if self.largest - 1 - i in self.seen)


@given(COUNTERS)
def test_it_does_what_a_set_would_do(counters: list[int]) -> None:
    window, model = ReplayWindow(), Model()
    for counter in counters:
        assert window.accept(counter) == model.accept(counter)
        assert window.largest == model.largest
        assert window.bitmap() == model.bitmap()


def test_the_oldest_counter_that_is_told_apart() -> None:
    window = ReplayWindow()
    window.accept(WINDOW)
    assert window.accept(0)
    assert not window.accept(0)
    window.accept(WINDOW + 1)
    assert not window.accept(0)
    assert window.accept(1)


def test_a_jump_beyond_the_window_forgets_all_below() -> None:
    window = ReplayWindow()
    assert window.accept(5)
    assert window.accept(5 + WINDOW + 1)
    assert window.bitmap() == 0
    assert not window.accept(5)
    assert window.accept(6)
