"""A request is the command that its values say, word for word, whatever the words hold."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.client import requests
from orderd.client.requests import Request
from orderd.client.values import NewOrder, order_words
from orderd.intake import intake
from orderd.intake.command_table import TABLE
from orderd.intake.resp import CommandReader

assert intake.COMMAND_MODULES, "they fill the table"

_ascii = st.text(st.characters(max_codepoint=127), max_size=20)
_numbers = st.decimals(allow_nan=True, allow_infinity=True) | st.integers() | _ascii


def words_of(request: Request[Any]) -> list[bytes]:
    """The one command that the daemon reads from it."""
    reader = CommandReader(query_bytes_max=1 << 21)
    (words,) = reader.feed(request.data)
    assert reader.error is None
    return words


@given(st.lists(_ascii | st.binary(max_size=40) | st.integers(), min_size=1, max_size=30))
def test_words_arrive_as_they_are_line_ends_and_all(words: list[Any]) -> None:
    arrived = words_of(requests.command(*words))
    assert arrived == [word if isinstance(word, bytes) else str(word).encode() for word in words]


@given(
    st.builds(
        NewOrder,
        _ascii,
        _ascii,
        _numbers,
        st.none() | _numbers,
        tif=st.none() | _ascii,
        account=st.integers(),
        post_only=st.booleans(),
        stp=st.none() | _ascii,
        gtd=st.none() | st.integers() | _ascii,
        stop=st.none() | _numbers,
        display=st.none() | _numbers,
        min_qty=st.none() | _numbers,
        max_age_ms=st.none() | st.integers(),
        mode=st.none() | _ascii,
    ),
    _ascii,
)
def test_an_order_of_any_values_is_one_command_and_no_value_becomes_another_word(order: NewOrder, name: str) -> None:
    arrived = [word.decode() for word in words_of(requests.place(order, name))]
    assert arrived == list(order_words(order, name))
    assert arrived[:4] == ["ORDER.NEW", name, order.symbol, order.side]
    assert len(arrived) <= 6 + 2 * 10 + 1


@pytest.mark.parametrize("text", ["mañana", "a\u2028b", "\udcff"])
def test_text_that_is_not_ascii_is_refused_here(text: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        requests.status(text)
    with pytest.raises(TypeError, match="word"):
        requests.command("ECHO", 1.5)


def test_each_request_is_a_command_of_the_daemon_with_as_many_words_as_it_takes() -> None:
    for request in (
        requests.place(NewOrder("A", "BUY", 1, 1), "a"),
        requests.cancel("a", "r"),
        requests.replace("a", 1, Decimal("1.5"), "r", is_open=True, mode="sync"),
        requests.mass_cancel("A", "BUY", 1),
        requests.status("a"),
        requests.wait("a", 1),
        requests.order_page(5, is_open=False, symbol="A", account=1),
        requests.open_orders_at(5, None),
        requests.batch("b", bytes(32), "batch"),
        requests.reserve(5),
        requests.executions(5, account=1, block_ms=7),
        requests.settled_executions(),
        requests.book("A", 5),
        requests.instruments(),
        requests.positions(1, "A"),
        requests.info("server"),
        requests.ping(),
        requests.trading("HALTED", 1),
        requests.mode("batch"),
        requests.hello("me"),
        requests.cancel_on_disconnect(on=True),
        requests.deadman(100),
    ):
        words = words_of(request)
        found = TABLE.find(words)
        assert found is not None, words
        assert found[0].takes(len(words)), words


def test_how_long_a_command_may_block_is_known() -> None:
    assert requests.wait("a", 2500).block_s == 2.5
    assert requests.executions(0, block_ms=1000).block_s == 1.0
    assert requests.executions(0).block_s == 0.0
    assert requests.cancel("a", "r").id == "r" and requests.batch("b", b"").id == "b"
    assert requests.cancel("a", "r").is_repeatable and not requests.command("PING").is_repeatable
