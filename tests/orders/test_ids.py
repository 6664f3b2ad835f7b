"""IdIndex against a dictionary."""

import time
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.orders import ids
from orderd.orders.ids import RUN_MIN, IdIndex, as_number, is_valid
from orderd.wire.records import TEXT_NUMBER


class Both:
    """The index and a dictionary of what is remembered, changed alike."""

    def __init__(self) -> None:
        self.next = 1
        self.known: dict[bytes, int] = {}
        self.keys: dict[int, bytes] = {}
        self.index = IdIndex(self.keys.__contains__)

    def _learn(self, key: bytes, order_id: int) -> None:
        self.known[key], self.keys[order_id] = order_id, key

    def add(self, key: bytes) -> None:
        if key not in self.known:
            self.index.add(key, self.next)
            self._learn(key, self.next)
            self.next += 1

    def add_numbers(self, numbers: list[int], *, consecutive: bool) -> None:
        known = [i for i, number in enumerate(numbers) if b"%d" % number in self.known]
        assert self.index.knows_any(numbers, consecutive=consecutive) == (known[0] if known else None)
        if not known:
            self.index.add_numbers(numbers, self.next, consecutive=consecutive)
            for i, number in enumerate(numbers):
                self._learn(b"%d" % number, self.next + i)
            self.next += len(numbers)

    def forget(self, choice: int) -> None:
        if self.keys:
            order_id = sorted(self.keys)[choice % len(self.keys)]
            key = self.keys.pop(order_id)
            del self.known[key]
            number = as_number(key)
            if number is None:
                self.index.forget(order_id, TEXT_NUMBER + order_id, key)
            else:
                # A number of a request comes as its text, an order's as its number.
                self.index.forget(order_id, number, key if choice % 2 else None)

    def check(self) -> None:
        for key in (*KEYS, *(b"%d" % number for number in range(80))):
            assert self.index.find(key) == self.known.get(key)


KEYS = [b"a", b"b", b"007", b"0", b"1", b"19", b"9223372036854775807", b"9223372036854775808", b"-1", b"x" * 64]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(KEYS)),
        st.tuples(st.just("run"), st.integers(0, 60), st.integers(1, 30)),
        st.tuples(st.just("some"), st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True)),
        st.tuples(st.just("forget"), st.integers(0, 100)),
        st.tuples(st.just("drop"), st.floats(0, 1)),
        st.tuples(st.just("drop some"), st.integers(1, 40)),
    ),
    max_size=50,
)


@given(steps, st.sampled_from([1, 4, RUN_MIN]))
def test_what_is_remembered_is_found_and_nothing_else(history: list[tuple[Any, ...]], run_min: int) -> None:
    both = Both()
    with mock.patch.object(ids, "RUN_MIN", run_min):
        for name, *values in history:
            if name == "add":
                both.add(values[0])
            elif name == "run":
                both.add_numbers(list(range(values[0], values[0] + values[1])), consecutive=True)
            elif name == "some":
                both.add_numbers(values[0], consecutive=False)
            elif name == "forget":
                both.forget(values[0])
            elif name == "drop":
                both.index.drop_runs(int(values[0] * both.next))
            else:
                both.index.drop_some(values[0])
            both.check()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0), (b"1", 1), (b"9223372036854775807", 2**63 - 1), (b"9223372036854775808", None), (b"01", None),
        (b"-1", None), (b"+1", None), (b"1.0", None), (b"1e3", None), (b"", None), (b"10000000000000000000", None),
        ("\u0663".encode(), None), (b"12a", None),
    ],
)  # fmt: skip
def test_a_canonical_decimal_below_63_bits_is_a_number(text: bytes, number: int | None) -> None:
    assert as_number(text) == number


@pytest.mark.parametrize("text", [b"", b"a b", b"a\n", b"\x7f", b"\xc3\xa4", b"x" * 65, b"a\x00"])
def test_what_is_no_id(text: bytes) -> None:
    assert not is_valid(text)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64))
def test_all_printable_characters_make_an_id(text: str) -> None:
    assert is_valid(text.encode())


def test_forgetting_many_small_runs_takes_linear_time() -> None:
    index = IdIndex(lambda _: False)
    for i in range(30_000):
        index.add_numbers(list(range(i * 100, i * 100 + RUN_MIN)), 1 + i * RUN_MIN, consecutive=True)
    started = time.perf_counter()
    index.drop_runs(30_000 * RUN_MIN + 1)
    index.drop_some(30_000 * RUN_MIN)
    assert not index._runs
    assert time.perf_counter() - started < 1.0
    assert index.find(b"100") is None


def test_a_long_run_is_dropped_in_steps_and_what_is_remembered_of_it_is_found_meanwhile() -> None:
    remembered = {5, 2000, 4999}
    asked: list[int] = []

    def remembers(order_id: int) -> bool:
        asked.append(order_id)
        return order_id in remembered

    index = IdIndex(remembers)
    index.add_numbers(range(7001, 12001), 1, consecutive=True)
    index.drop_runs(5001)
    while index._runs:
        asked.clear()
        index.drop_some(1000)
        assert len(asked) <= 1000
        assert [n for n in range(7001, 12001) if index.find_number(n) is not None] == [7005, 9000, 11999]
    assert index._numbers == {7005: 5, 9000: 2000, 11999: 4999}
