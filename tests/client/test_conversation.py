"""Whatever happens to the connection: each request is answered once, by its own answer, and orders happen once."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.client import requests
from orderd.client.conversation import Backoff, Conversation, HungUp, Ticket, unsent
from orderd.client.errors import (
    ClientError,
    CommandError,
    LimitExceeded,
    NotFound,
    ProtocolViolation,
    Unanswered,
)
from orderd.intake.resp import CommandReader

HELLO = b"%1\r\n$6\r\nserver\r\n$6\r\norderd\r\n"
PONG = b"+PONG\r\n"


def started() -> Conversation:
    """A conversation whose greeting is answered."""
    conversation = Conversation(timeout_s=10)
    conversation.connected(0.0)
    assert b"HELLO" in conversation.output()
    conversation.sent(len(conversation.output()))
    conversation.receive(HELLO, 0.0)
    return conversation


def send_all(conversation: Conversation) -> bytes:
    """All that it has to say now."""
    out = b""
    while data := conversation.output():
        conversation.sent(len(data))
        out += data
    return out


def asked(conversation: Conversation, *words: str, is_repeatable: bool = True) -> Ticket[Any]:
    return conversation.ask(requests.command(*words, is_repeatable=is_repeatable), 0.0)


def test_nothing_is_said_before_the_greeting_is_answered() -> None:
    conversation = Conversation(timeout_s=10, name="me")
    guard = requests.cancel_on_disconnect(on=True)
    conversation.greet_with("CANCELONDISCONNECT", guard)
    asked(conversation, "ORDER.NEW")
    conversation.connected(0.0)
    assert send_all(conversation) == requests.hello("me").data + guard.data
    conversation.receive(HELLO, 0.0)
    assert not send_all(conversation)
    conversation.receive(b"+OK\r\n", 0.0)
    assert send_all(conversation) == requests.command("ORDER.NEW").data
    assert conversation.connections == 1


def test_a_guard_that_cannot_be_set_again_lets_no_order_through() -> None:
    conversation = Conversation(timeout_s=10)
    conversation.greet_with("CANCELONDISCONNECT", requests.cancel_on_disconnect(on=True))
    ticket = asked(conversation, "ORDER.NEW")
    conversation.connected(0.0)
    send_all(conversation)
    with pytest.raises(HungUp, match="CLIENT: NOPERM needs role trade"):
        conversation.receive(HELLO + b"-NOPERM needs role trade\r\n", 0.0)
    conversation.disconnected("refused")
    assert not ticket.is_settled and conversation.unanswered == 1


def test_after_a_break_what_is_not_answered_is_sent_again_in_order() -> None:
    conversation = started()
    tickets = [asked(conversation, f"C{i}") for i in range(4)]
    send_all(conversation)
    conversation.receive(b"+0\r\n+1\r\n$5\r\nhal", 1.0)
    assert [ticket.is_settled for ticket in tickets] == [True, True, False, False]
    conversation.disconnected("cut")
    conversation.connected(2.0)
    send_all(conversation)
    conversation.receive(HELLO, 2.0)
    assert send_all(conversation) == requests.command("C2").data + requests.command("C3").data
    conversation.receive(b"+2\r\n+3\r\n", 2.0)
    assert [ticket.result() for ticket in tickets] == ["0", "1", "2", "3"]
    assert [ticket.sends for ticket in tickets] == [1, 1, 2, 2]


def test_what_may_not_be_sent_twice_is_not() -> None:
    conversation = started()
    first, second = (asked(conversation, "X", is_repeatable=False) for _ in range(2))
    conversation.output()
    third = asked(conversation, "Y", is_repeatable=False)
    conversation.disconnected("cut")
    for ticket in (first, second):
        with pytest.raises(Unanswered, match="may have been done or not: cut") as caught:
            ticket.result()
        assert caught.value.request is ticket.request
    assert not third.is_settled  # It was never sent.


def test_an_abandoned_request_is_answered_by_nobody_and_shifts_nobody() -> None:
    conversation = started()
    first, second = asked(conversation, "A"), asked(conversation, "B")
    dropped: list[str] = []
    first.on_settled = lambda: dropped.append("A")
    send_all(conversation)
    conversation.abandon(first)
    assert not dropped
    conversation.receive(b"+a\r\n+b\r\n", 0.0)
    assert second.result() == "b" and dropped == ["A"]


def test_an_abandoned_request_is_not_sent_any_more() -> None:
    conversation = started()
    first, second, third = (asked(conversation, name) for name in "ABC")
    conversation.abandon(second)
    assert send_all(conversation) == first.request.data + third.request.data
    conversation.abandon(third)
    conversation.disconnected("cut")
    assert third.is_settled and conversation.unanswered == 1
    conversation.abandon(first)
    assert conversation.unanswered == 0


def test_an_error_is_the_answer_to_its_request_alone() -> None:
    conversation = started()
    first, second = asked(conversation, "A"), asked(conversation, "B")
    send_all(conversation)
    conversation.receive(b"-NOTFOUND a1 is not an order\r\n-LIMIT order_quantity 5 exceeds 4\r\n", 0.0)
    with pytest.raises(NotFound, match="a1 is not an order"):
        first.result()
    assert isinstance(second.outcome(), LimitExceeded)


@pytest.mark.parametrize("bound", [b"reply_bytes_max 8388608: about 9000000", b"clients_max 1024 is reached"])
def test_a_bound_of_the_connection_is_no_answer_to_an_order(bound: bytes) -> None:
    conversation = started()
    ticket = asked(conversation, "ORDER.NEW")
    send_all(conversation)
    with pytest.raises(HungUp, match="LIMIT"):
        conversation.receive(b"-LIMIT " + bound + b"\r\n", 0.0)
    assert not ticket.is_settled


def test_a_request_that_the_daemon_cannot_read_is_not_sent_again() -> None:
    conversation = started()
    first, second = asked(conversation, "A"), asked(conversation, "B")
    send_all(conversation)
    with pytest.raises(HungUp):
        conversation.receive(b"-ERR Protocol error: command too big: at most 1048576 bytes\r\n", 0.0)
    conversation.disconnected("closed")
    with pytest.raises(CommandError, match="too big"):
        first.result()
    assert not second.is_settled


def test_an_answer_of_the_wrong_kind_settles_its_request_and_ends_the_connection() -> None:
    conversation = started()
    ticket = conversation.ask(requests.status("a"), 0.0)
    send_all(conversation)
    with pytest.raises(ProtocolViolation, match="not an order"):
        conversation.receive(b"+OK\r\n", 0.0)
    with pytest.raises(ProtocolViolation):
        ticket.result()


def test_a_reply_to_nothing_ends_the_connection() -> None:
    with pytest.raises(ProtocolViolation, match="reply to nothing"):
        started().receive(b"+OK\r\n", 0.0)
    with pytest.raises(HungUp, match="ERR somebody killed you"):
        started().receive(b"-ERR somebody killed you\r\n", 0.0)


def test_a_push_is_no_answer() -> None:
    conversation = started()
    ticket = asked(conversation, "PING")
    send_all(conversation)
    conversation.receive(b">2\r\n+exec\r\n+1\r\n+PONG\r\n", 0.0)
    assert ticket.result() == "PONG"


def test_silence_counts_from_the_last_sign_of_life_and_only_while_something_is_missing() -> None:
    conversation = started()
    assert conversation.deadline is None
    conversation.ask(requests.wait("a", 5000), 100.0)
    assert conversation.deadline == 110.0
    conversation.ask(requests.ping(), 101.0)
    send_all(conversation)
    assert conversation.deadline == 115.0  # The daemon may take its five seconds.
    conversation.receive(b"-NOTFOUND a\r\n", 104.0)
    assert conversation.deadline == 114.0
    conversation.receive(PONG, 105.0)
    assert conversation.deadline is None


def test_what_is_given_up_is_settled() -> None:
    conversation = started()
    ticket = asked(conversation, "A")
    conversation.disconnected("cut")
    conversation.give_up("no answer within 30 s: cut")
    with pytest.raises(Unanswered, match="A: no answer within 30 s: cut"):
        ticket.result()
    assert conversation.unanswered == 0 and conversation.has_room
    with pytest.raises(Unanswered, match="was not sent"):
        unsent(requests.ping(), "cut").result()


def test_a_mass_cancel_that_was_sent_twice_says_so() -> None:
    conversation = started()
    ticket = conversation.ask(requests.mass_cancel(None, None, None), 0.0)
    send_all(conversation)
    conversation.disconnected("cut")
    conversation.connected(0.0)
    send_all(conversation)
    conversation.receive(HELLO, 0.0)
    send_all(conversation)
    conversation.receive(b"%1\r\n$9\r\ncancelled\r\n$1\r\n0\r\n", 0.0)
    assert ticket.result().repeated


def test_what_waits_is_bounded_by_count_and_bytes() -> None:
    conversation = started()
    while conversation.has_room:
        asked(conversation, "A")
    assert conversation.unanswered == 1000
    conversation = started()
    while conversation.has_room:
        conversation.ask(requests.batch("b", bytes(1 << 20)), 0.0)
    assert conversation.unanswered == 8


def test_attempts_to_connect_come_less_and_less_often_until_one_is_answered() -> None:
    backoff = Backoff()
    pauses = [backoff.after(0) for _ in range(9)]
    assert pauses == [0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert backoff.after(1) == 0.0


@pytest.mark.parametrize(
    "data",
    [
        b"*2147483647\r\n",
        b"%9999999\r\n",
        b"%1\r\n*1\r\n:1\r\n:2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$-7\r\n",
        b"*1\r\n" * 2000,
    ],
)
def test_what_is_no_resp_is_said_to_be_none(data: bytes) -> None:
    conversation = started()
    asked(conversation, "A")
    send_all(conversation)
    with pytest.raises(ProtocolViolation):
        conversation.receive(data, 0.0)


@given(st.integers(0, 60))
def test_an_id_that_looks_like_a_vast_array_is_taken_for_what_it_is(cut: int) -> None:
    conversation = started()
    ticket = asked(conversation, "GET")
    send_all(conversation)
    reply = b"$21\r\nx*12345678%1234567890\r\n"
    conversation.receive(reply[:cut], 0.0)
    conversation.receive(reply[cut:], 0.0)
    assert ticket.result() == "x*12345678%1234567890"


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_comes_only_errors_of_the_client_are_raised(data: bytes, cut: int) -> None:
    conversation = started()
    for request in (requests.status("a"), requests.executions(0), requests.book("A", 1), requests.command("PING")):
        conversation.ask(request, 0.0)
    send_all(conversation)
    with suppress(ClientError):
        conversation.receive(data[:cut], 0.0)
        conversation.receive(data[cut:], 0.0)


_resp = st.recursive(
    st.sampled_from(
        [b"+OK\r\n", b":7\r\n", b"_\r\n", b"$-1\r\n", b"-ERR x\r\n", b"-TRIMMED 5\r\n", b"#t\r\n", b",1.5\r\n"]
    )
    | st.binary(max_size=12).map(lambda text: b"$%d\r\n%b\r\n" % (len(text), text)),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts))
        | st.lists(inner, max_size=2).map(lambda parts: b"%%%d\r\n" % len(parts) + b"".join(2 * parts))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: b">%d\r\n" % len(parts) + b"".join(parts))
    ),
    max_leaves=8,
)


@given(st.lists(_resp, max_size=6), st.integers(1, 30))
def test_well_formed_nonsense_raises_only_errors_of_the_client(data: list[bytes], size: int) -> None:
    conversation = started()
    for request in (requests.status("a"), requests.executions(0), requests.info(), requests.command("PING")):
        conversation.ask(request, 0.0)
    send_all(conversation)
    whole = b"".join(data)
    with suppress(ClientError):
        for at in range(0, len(whole), size):
            conversation.receive(whole[at : at + size], 0.0)


class Daemon:
    """What orderd does about ids, and nothing else: an id happens once, a repeat is told what the first one was."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._reader = CommandReader(query_bytes_max=1 << 20)

    def connected(self) -> None:
        self._reader = CommandReader(query_bytes_max=1 << 20)

    def answer(self, data: bytes) -> bytes:
        return b"".join(map(self._one, self._reader.feed(data)))

    def _one(self, words: list[bytes]) -> bytes:
        if words[0] == b"HELLO":
            return HELLO
        name = words[1].decode()
        if name not in self.done:
            self.done.append(name)
        return b"$%d\r\n%b\r\n" % (len(words[1]), words[1])


@given(st.data())
def test_over_any_number_of_breaks_each_order_happens_once_in_order_and_hears_its_own_answer(
    data: st.DataObject,
) -> None:
    conversation, daemon = Conversation(timeout_s=10), Daemon()
    draw: Callable[..., Any] = data.draw
    tickets: list[Ticket[Any]] = []
    is_connected, on_the_way = False, b""
    for _ in range(draw(st.integers(1, 60))):
        step = draw(st.sampled_from(["ask", "ask", "carry", "carry", "carry", "answer", "answer", "break"]))
        if step == "ask":
            tickets.append(asked(conversation, "N", f"order-{len(tickets)}"))
        elif not is_connected:
            conversation.connected(0.0)
            daemon.connected()
            is_connected, on_the_way = True, b""
        elif step == "carry":
            piece = conversation.output()[: draw(st.integers(0, 80))]
            conversation.sent(len(piece))
            on_the_way += daemon.answer(piece)
        elif step == "answer":
            count = draw(st.integers(0, 60))
            conversation.receive(on_the_way[:count], 0.0)
            on_the_way = on_the_way[count:]
        else:
            conversation.disconnected("cut")
            is_connected = False
    if not is_connected:
        conversation.connected(0.0)
        daemon.connected()
        on_the_way = b""
    while conversation.unanswered or on_the_way:
        piece = conversation.output()
        conversation.sent(len(piece))
        conversation.receive(on_the_way + daemon.answer(piece), 0.0)
        on_the_way = b""
    assert [ticket.result() for ticket in tickets] == [f"order-{i}" for i in range(len(tickets))]
    assert daemon.done == [f"order-{i}" for i in range(len(tickets))]


def test_after_a_break_as_much_as_half_is_sent_at_first() -> None:
    conversation = started()
    tickets = [asked(conversation, f"C{i}") for i in range(100)]
    send_all(conversation)
    conversation.disconnected("cut")
    conversation.connected(0.0)
    send_all(conversation)
    conversation.receive(HELLO, 0.0)
    send_all(conversation)
    assert [ticket.sends for ticket in tickets] == [2] * 50 + [1] * 50
    conversation.receive(b"+OK\r\n" * 2, 0.0)
    send_all(conversation)
    assert sum(ticket.sends == 2 for ticket in tickets) == 54
