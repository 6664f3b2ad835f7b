"""Sends a file's order flow through the daemon and keeps account of what became of it.

One connection carries the flow, pipelined with a bounded number of commands unanswered; a second one asks (order
numbers, books, executions) without standing in the flow's line. Orders go by numbers from ORDER.RESERVE, so that the
same file can be replayed any number of times.

An order counts as confirmed when the engine's outcome is known, rejections included. Where the daemon answered QUEUED
the last such order is waited for at the end: outcomes come in the order of the journal, so those before it are known.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs

from orderd.ctl.connection import Connection, Stream
from orderd.ctl.errors import ReplyError
from orderd.ctl.latency import percentiles_us
from orderd.ctl.replay.source import Action, Do, Flow, Levels
from orderd.ctl.trades import TradeReader

RESERVED_BLOCK: Final = 10_000
READ_EVERY: Final = 50_000
"""Commands between two looks at the executions, so that few pile up and the daemon need not keep all."""
SETTLE_MS: Final = 30_000
CHECK_TRIES: Final = 20
PROBLEMS_SHOWN: Final = 5
QUIET_MS: Final = 300
QUIET_AFTER_S: Final = 5.0


@attrs.define
class Result:
    """The account of one replay."""

    mode: str
    sent: int = 0
    skipped_unseen: int = 0
    skipped_types: dict[str, int] = attrs.Factory(dict)
    confirmed: int = 0
    rejected: int = 0
    too_late: int = 0
    """Cancels and replaces of orders that were done; confirmed, since that is the outcome."""
    unknown: int = 0
    errors: Counter[str] = attrs.Factory(Counter)
    """Error replies by their first word."""
    trades: int | None = None
    seconds: float = 0.0
    latency_us: dict[str, float] = attrs.Factory(dict)
    checkpoints: int = 0
    trades_compared: int = 0
    problems: list[str] = attrs.Factory(list)
    """What did not come out as the file says, the first few in words."""
    problems_total: int = 0
    notes: list[str] = attrs.Factory(list)

    @property
    def ok(self) -> bool:
        """Every order sent was confirmed, and all that was compared is equal."""
        return self.confirmed == self.sent and not self.problems_total

    def problem(self, text: str) -> None:
        """Counts something that should not be."""
        self.problems_total += 1
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(text)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        rate = round(self.sent / self.seconds) if self.seconds else 0
        return {**attrs.asdict(self), "orders_per_second": rate, "ok": self.ok}


@attrs.define
class _Live:
    """An order that the file has not cancelled."""

    number: str
    price: str
    total: Decimal | None
    """Total quantity, fills included; None where that is not known, after a replace of the open quantity."""


class Replay:
    """One run of a flow. ``mode`` goes along with each new order; None leaves it to the daemon."""

    def __init__(
        self,
        connection: Connection,
        control: Connection,
        symbol: str,
        *,
        mode: str | None = None,
        on_progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        self.result = Result(mode or str(control.call("MODE")))
        self._control = control
        self._symbol = symbol
        self._mode = ("MODE", mode) if mode else ()
        self._on_progress = on_progress
        self._stream = Stream[tuple[Do, str]](connection, self._on_reply)
        self._numbers = self._reserve()
        self._live: dict[str, _Live] = {}
        """By the file's keys."""
        self._mine: dict[str, tuple[str, int]] = {}
        """Each number sent: the file's key of the order, and its place among the takers, from 1; 0 if it is none."""
        self._trades_due: dict[str, int] = {}
        """How many trades each number must make as a taker, where the file says so."""
        self._latencies: list[int] = []
        self._last_queued: dict[bool, str] = {}
        """The last order that was only QUEUED when answered: of new ones (True) and of cancels and replaces."""
        self._queued = 0
        self._queues = False
        self._queues_changes = False
        self._trades = TradeReader(control, self._mine)

    def run(self, flow: Flow, *, speed: float | None = None) -> Result:
        """Replays the flow, ``speed`` times as fast as it happened or as fast as it goes, and waits for outcomes."""
        started = time.monotonic()
        first_ns = flow.actions[0].time_ns if flow.actions else 0
        takers = 0
        for done, action in enumerate(flow.actions):
            if speed is not None:
                self._wait_until(started + (action.time_ns - first_ns) / 1e9 / speed)
            if action.do is Do.CHECK:
                self._check(action)
            elif action.do is Do.NEW or action.do is Do.TAKE:
                takers += action.is_taker
                self._send_new(action, takers if action.is_taker else 0)
            else:
                self._send_change(action)
            if done % 1000 == 0:
                self._on_progress(done)
            if done % READ_EVERY == READ_EVERY - 1:
                self._trades.read()
        self._settle()
        self.result.seconds = time.monotonic() - started
        self._on_progress(len(flow.actions))
        self._close_account(flow)
        return self.result

    def cancel_rest(self) -> None:
        """Cancels what this replay left open. Not part of the account."""
        ignored = Stream[None](self._control, lambda *_: None)
        for live in self._live.values():
            ignored.send(None, ("ORDER.CANCEL", live.number))
        ignored.drain()

    def verify_trades(self, expected: Sequence[tuple[int, str, str, str]]) -> None:
        """Compares all trades with ``(taker's place, maker's key, price, quantity)``, in order."""
        unknown = ("", 0)
        found = [
            (
                self._mine.get(trade.taker, unknown)[1],
                self._mine.get(trade.maker, unknown)[0],
                trade.price,
                trade.quantity,
            )
            for trade in self._trades.trades.values()
        ]
        self.result.trades_compared = len(expected)
        for place, (want, got) in enumerate(zip(expected, found, strict=False), 1):
            if want != got:
                self.result.problem(f"trade {place} is {got}, expected {want} (taker, maker, price, quantity)")
        if len(found) != len(expected):
            self.result.problem(f"{len(found)} trades, expected {len(expected)}")

    def verify_counts(self) -> None:
        """Compares how many trades each order made at once with what the file says."""
        made = Counter(trade.taker for trade in self._trades.trades.values())
        for number, due in self._trades_due.items():
            if made[number] != due:
                self.result.problem(f"order {number} made {made[number]} trades, expected {due}")

    def _reserve(self) -> Iterator[str]:
        while True:
            first = int(self._control.call("ORDER.RESERVE", RESERVED_BLOCK))
            yield from map(str, range(first, first + RESERVED_BLOCK))

    def _wait_until(self, when: float) -> None:
        while (left := when - time.monotonic()) > 0:
            self._stream.poll(left)

    def _send_new(self, action: Action, place: int) -> None:
        number = next(self._numbers)
        self._mine[number] = (action.key, place)
        if action.trades is not None:
            self._trades_due[number] = action.trades
        if action.do is Do.NEW:
            self._live[action.key] = _Live(number, action.price, Decimal(action.quantity))
        tif = ("TIF", "IOC") if action.do is Do.TAKE else ()
        order = (number, self._symbol, action.side, action.quantity, "LIMIT", action.price)
        self._send(action.do, number, ("ORDER.NEW", *order, *tif, *self._mode))

    def _send_change(self, action: Action) -> None:
        live = self._live.get(action.key)
        if live is None:
            self.result.skipped_unseen += 1
            return
        if action.do is Do.CANCEL:
            del self._live[action.key]
            self._send(action.do, live.number, ("ORDER.CANCEL", live.number))
            return
        if action.do is Do.REPLACE_OPEN:
            live.price = action.price
            live.total = None
            self._send(action.do, live.number, ("ORDER.REPLACE", live.number, action.quantity, live.price, "OPEN"))
            return
        if live.total is None:
            self._settle()
            live.total = Decimal(self._control.call("ORDER.STATUS", live.number)["quantity"])
        live.total -= Decimal(action.quantity)
        if live.total > 0:
            self._send(action.do, live.number, ("ORDER.REPLACE", live.number, str(live.total), live.price))
        else:
            del self._live[action.key]
            self._send(Do.CANCEL, live.number, ("ORDER.CANCEL", live.number))

    def _send(self, do: Do, number: str, words: Sequence[str]) -> None:
        self.result.sent += 1
        self._stream.send((do, number), words)

    def _on_reply(self, sent: tuple[Do, str], reply: Any, latency_ns: int) -> None:
        result = self.result
        do, number = sent
        self._latencies.append(latency_ns)
        if isinstance(reply, ReplyError):
            result.errors[reply.word] += 1
            result.problem(f"order {number}: {reply}")
            return
        status = reply["status"]
        if status == "QUEUED":
            self._queued += 1
            self._queues = True
            is_new = do is Do.NEW or do is Do.TAKE
            self._last_queued[is_new] = number
            self._queues_changes = self._queues_changes or not is_new
            return
        if status == "UNKNOWN":
            result.unknown += 1
            return
        result.confirmed += 1
        if do is Do.NEW or do is Do.TAKE:
            result.rejected += status == "REJECTED"
        elif do is Do.CANCEL:
            result.too_late += status != "CANCELED"
        else:
            result.too_late += reply.get("reason", "NONE") not in ("NONE", "REPLACED_BELOW_FILLED")

    def _settle(self) -> None:
        """Waits until all that was sent is answered, and what was QUEUED is confirmed."""
        self._stream.drain()
        if not self._queued:
            return
        for number in self._last_queued.values():
            order = self._control.call("ORDER.WAIT", number, SETTLE_MS, wait_s=SETTLE_MS / 1000)
            if order["status"] in ("QUEUED", "UNKNOWN"):
                self.result.problem(f"order {number} is {order['status']} after {SETTLE_MS} ms")
                return
        self.result.confirmed += self._queued
        self._queued = 0
        self._last_queued.clear()

    def _check(self, action: Action) -> None:
        """Compares the best levels, as many as the file has."""
        self._settle()
        self.result.checkpoints += 1
        want = (action.bids, action.asks)
        got = self._best_levels(len(action.bids), len(action.asks))
        for _ in range(CHECK_TRIES if self._queues else 0):
            if got == want:
                break
            time.sleep(0.05)
            got = self._best_levels(len(action.bids), len(action.asks))
        if got != want:
            self.result.problem(f"line {action.line}: the book is {got}, expected {want} (bids, asks)")

    def _best_levels(self, bids: int, asks: int) -> tuple[Levels, Levels]:
        book = self._control.call("BOOK", self._symbol, "DEPTH", max(bids, asks, 1))
        return (
            [(str(price), str(quantity)) for price, quantity, _ in book["bids"][:bids]],
            [(str(price), str(quantity)) for price, quantity, _ in book["asks"][:asks]],
        )

    def _close_account(self, flow: Flow) -> None:
        result = self.result
        result.skipped_unseen += flow.skipped_unseen
        result.skipped_types = dict(sorted(flow.skipped_types.items()))
        result.latency_us = percentiles_us(self._latencies)
        # Executions show up once they are in the journal, which may be a little after the reply.
        deadline = time.monotonic() + QUIET_AFTER_S
        while self._trades.read(block_ms=QUIET_MS) and time.monotonic() < deadline:
            pass
        if not self._trades.complete:
            result.notes.append("the daemon dropped executions before they were read: trades are not counted")
            return
        result.trades = len(self._trades.trades)
        if self._queues:
            result.rejected = self._trades.rejected
        if self._queues_changes:
            result.too_late = self._trades.changes_rejected
