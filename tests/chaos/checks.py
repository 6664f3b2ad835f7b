"""What must hold when everything has come to rest: clients, the engine's journal, a naive book and orderd compared.

Four accounts that know nothing of each other: what clients sent and were told; the engine's journal, read from the
files; the naive book (:mod:`tests.support.naive_book`), run over that journal; and what orderd says now of executions,
orders, books and positions. A difference is counted as what it is: lost, duplicated, reordered or invented.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs

from engine.inputs import CancelAllInput, DayEndInput, ExpireInput, Input, MarketInput, OrdersInput
from orderd.wire.reports import ExecType, Reason, Report
from tests.chaos.commands import DONE, NEW, TEXT_NUMBER, VOID, Command, Duty, Fields, Key, key_of
from tests.chaos.flow import INSTRUMENTS, RECORD, price_text
from tests.support.accounts import account_of
from tests.support.naive_book import NaiveEngine
from tests.support.resp_client import RespError

SESSION: Final = 1
PROBLEMS_TOLD: Final = 5
SYMBOL_OF: Final = {number: symbol for symbol, number in INSTRUMENTS}
HIDDEN: Final = (ExecType.EXTENDED, ExecType.MASS_CANCELED)
Pairs = Mapping[str, Any]


@attrs.define
class Evidence:
    """All that is known of a site at rest."""

    clients: list[list[Command]]
    """What each sent, in that order."""
    inputs: list[Input]
    """The engine's journal, from its first record on."""
    executions: Sequence[tuple[int, Pairs]]
    """The whole stream, read at the end."""
    statuses: dict[str, Any]
    """ORDER.STATUS of every order that was placed, by ``cl_ord_id``."""
    books: dict[str, Pairs]
    positions: list[Pairs]
    changed: list[int] = attrs.field(factory=list)
    """Executions that were shown as another one before."""
    resolved: int = 0


@attrs.define
class Findings:
    """How often each promise was kept or broken."""

    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    invented: int = 0
    unknown: int = 0
    resolved: int = 0
    problems: list[str] = attrs.field(factory=list)

    def tell(self, text: str) -> None:
        """A line about something wrong; of each kind the first few are enough."""
        kind = text.partition(":")[0]
        if sum(problem.startswith(kind) for problem in self.problems) < PROBLEMS_TOLD:
            self.problems.append(text)

    @property
    def are_good(self) -> bool:
        """Whether everything held."""
        return not (self.lost or self.duplicated or self.reordered or self.invented or self.problems)


def check(evidence: Evidence) -> Findings:
    """Compare everything with everything."""
    findings = Findings(resolved=evidence.resolved)
    commands = [command for client in evidence.clients for command in client]
    findings.acknowledged = sum(c.weight for c in commands if c.duty is Duty.MUST)
    findings.unknown = sum(c.told_unknown for c in commands)
    _check_journal(evidence, findings)
    naive = run_naive(evidence.inputs)
    _check_executions(evidence, naive, findings)
    _check_statuses(evidence, naive, findings)
    _check_books(evidence, naive, findings)
    _check_positions(evidence, naive, findings)
    return findings


# --- what clients sent, and the engine's journal ----------------------------------------------------------------------


@attrs.frozen
class _Place:
    """Where a record belongs."""

    client: int
    index: int
    command: Command
    fields: Fields


def applied(inputs: Sequence[Input]) -> Iterator[tuple[int, Fields]]:
    """Each order record of the journal with its sequence, in the order in which they were executed."""
    for entry in inputs:
        if isinstance(entry, OrdersInput):
            yield from enumerate(RECORD.iter_unpack(entry.records), entry.first)


def _check_journal(evidence: Evidence, findings: Findings) -> None:
    places: dict[Key, _Place] = {}
    for client, commands in enumerate(evidence.clients):
        index = 0
        for command in commands:
            for fields in command.expected() or ():
                places[key_of(fields)] = _Place(client, index, command, fields)
                index += 1
    furthest: dict[int, _Place] = {}
    """Of each client the record that it sent last of all that were executed so far."""
    found: set[Key] = set()
    for expected, (sequence, fields) in enumerate(applied(evidence.inputs), 1):
        if sequence != expected:
            findings.tell(f"sequence: {sequence} where {expected} is due")
        key = key_of(fields)
        place = places.get(key)
        if key in found:
            findings.duplicated += 1
            findings.tell(f"duplicated: {fields} at {sequence}")
            continue
        if place is None or place.command.duty is Duty.MUST_NOT or not _is_as_sent(place, fields):
            findings.invented += 1
            sent = "nobody sent it" if place is None else f"sent: {place.fields}, told: {place.command.reply}"
            findings.tell(f"invented: {fields} at {sequence}; {sent}")
            continue
        found.add(key)
        before = furthest.setdefault(place.client, place)
        if place.index < before.index:
            findings.reordered += 1
            findings.tell(f"reordered: {fields} at {sequence}, {place.command.name} behind {before.command.name}")
        else:
            furthest[place.client] = place
    for key, place in places.items():
        if key not in found and place.command.duty is Duty.MUST:
            findings.lost += 1
            findings.tell(f"lost: {place.command.words[:3]}, told {place.command.reply}")


def _is_as_sent(place: _Place, fields: Fields) -> bool:
    if fields[5] == VOID and place.command.may_expire:
        return fields[:5] == place.fields[:5]
    return fields == place.fields


# --- the naive book ---------------------------------------------------------------------------------------------------


def run_naive(inputs: Sequence[Input]) -> NaiveEngine:
    """A naive engine behind all of the journal's inputs."""
    naive = NaiveEngine([number for _, number in INSTRUMENTS])
    for entry in inputs:
        if isinstance(entry, OrdersInput):
            for sequence, record in enumerate(RECORD.iter_unpack(entry.records), entry.first):
                naive.execute(SESSION, sequence, RECORD.pack(*record), entry.time_ns)
        elif isinstance(entry, CancelAllInput):
            naive.cancel_session(SESSION, Reason(entry.reason), entry.time_ns)
        elif isinstance(entry, ExpireInput):
            naive.expire(entry.time_ns)
        elif isinstance(entry, DayEndInput):
            naive.end_day(entry.time_ns)
        elif isinstance(entry, MarketInput):
            naive.rules[entry.instrument] = (entry.rules.halted, entry.rules.low, entry.rules.high)
    return naive


def shown_reports(naive: NaiveEngine) -> Iterator[Report]:
    """What clients are to see of the naive engine's reports."""
    return (report for report in naive.reports.get(SESSION, []) if report.exec_type not in HIDDEN)


def _check_executions(evidence: Evidence, naive: NaiveEngine, findings: Findings) -> None:
    records = dict(applied(evidence.inputs))
    if evidence.changed:
        findings.tell(f"changed: executions {evidence.changed[:5]} were others before")
    try:
        account_of(evidence.executions)
    except (AssertionError, KeyError) as error:
        findings.tell(f"executions: {error!r}")
    expected = [_whole(report, records) for report in shown_reports(naive)]
    missing = len(expected) - len(evidence.executions)
    if missing:
        findings.lost += max(0, missing)
        findings.invented += max(0, -missing)
        findings.tell(f"executions: {len(evidence.executions)}, and {len(expected)} by the naive book")
    for report, (exec_id, pairs) in zip(expected, evidence.executions, strict=False):
        wrong = {key: (value, pairs.get(key)) for key, value in _pairs_of(report).items() if pairs.get(key) != value}
        if wrong:
            findings.tell(f"execution {exec_id}: (naive, told) {wrong}")
            return


def _whole(report: Report, records: Mapping[int, Fields]) -> Report:
    """A NEW says no more than which record it is about."""
    if report.exec_type is not ExecType.NEW:
        return report
    number, _, quantity, instrument, account, _, flags = records[report.order]
    return attrs.evolve(
        report, number=number, leaves_qty=quantity, instrument=instrument, account=account, sell=flags % 2 == 1
    )


def _pairs_of(report: Report) -> dict[str, str | None]:
    is_void, is_trade = report.exec_type is ExecType.VOIDED, report.exec_type is ExecType.TRADE
    reason = "MAXAGE" if is_void else report.reason.name if report.reason else None
    told = {
        "exec_type": "EXPIRED" if is_void else report.exec_type.name,
        "symbol": SYMBOL_OF[report.instrument],
        "side": "SELL" if report.sell else "BUY",
        "account": str(report.account),
        "last_qty": str(report.last_qty),
        "cum_qty": str(report.cum_qty),
        "leaves_qty": str(report.leaves_qty),
        "status": "EXPIRED" if is_void else report.status.name,
        "transact_time_ns": str(report.transact_time_ns),
        "reason": reason,
        "trade_id": str(report.trade_id) if is_trade else None,
        "last_px": price_text(report.last_px) if is_trade else None,
        "liquidity": ("TAKER" if report.taker else "MAKER") if is_trade else None,
    }
    if not is_trade:
        del told["last_px"]  # As many decimals as the tick, or a plain zero: it says nothing.
    return told | ({"order_id": str(report.order)} if report.order else {})


# --- what orderd says now ---------------------------------------------------------------------------------------------


def _check_statuses(evidence: Evidence, naive: NaiveEngine, findings: Findings) -> None:
    final: dict[int, Report] = {}
    records = dict(applied(evidence.inputs))
    for report in naive.reports.get(SESSION, []):
        if report.order and report.exec_type not in (*HIDDEN, ExecType.REPLACE_REJECTED, ExecType.CANCEL_REJECTED):
            whole = _whole(report, records)
            final[whole.number] = whole
    for command in (command for client in evidence.clients for command in client):
        for name, number in _orders_of(command):
            answer, last = evidence.statuses.get(name), final.get(number)
            told = None if isinstance(answer, RespError) else answer
            if (told is None) != (last is None):
                findings.lost += 1
                findings.tell(f"status: {name} is {answer}, by the naive book {last}")
            if told is not None and last is not None:
                _check_status(name, told, last, findings)
                _check_told(command, told, findings)


def _check_status(name: str, told: Pairs, last: Report, findings: Findings) -> None:
    is_void = last.exec_type is ExecType.VOIDED
    status = "EXPIRED" if is_void else last.status.name
    expected = (status, str(last.cum_qty), "0" if is_void else str(last.leaves_qty))
    if (told["status"], told["cum_qty"], told["leaves_qty"]) != expected:
        findings.tell(f"status: {name} is {told}, by the naive book {expected}")


def _orders_of(command: Command) -> list[tuple[str, int]]:
    """Name and number of each order that it places, as far as the number is known."""
    if command.is_batch:
        return [(str(fields[0]), fields[0]) for fields in command.records if fields[5] == NEW]
    return [(command.name, TEXT_NUMBER + command.order_id)] if command.places and command.order_id else []


def _check_told(command: Command, now: Pairs, findings: Findings) -> None:
    """What is told now does not take back what was told before."""
    reply = command.reply
    if command.is_batch or reply is None or isinstance(reply, RespError):
        return
    if reply["status"] in DONE and reply["status"] != now["status"]:
        findings.tell(f"contradiction: {command.name} was {reply['status']} and is {now['status']}")
    if Decimal(reply["cum_qty"]) > Decimal(now["cum_qty"]):
        findings.tell(f"contradiction: {command.name} had {reply['cum_qty']} filled and has {now['cum_qty']}")


def _check_books(evidence: Evidence, naive: NaiveEngine, findings: Findings) -> None:
    for symbol, number in INSTRUMENTS:
        for key, levels in zip(("bids", "asks"), naive.depth(number), strict=True):
            expected = [[price_text(price), str(quantity), str(orders)] for price, quantity, orders in levels]
            if evidence.books[symbol][key] != expected:
                findings.tell(
                    f"book: {key} of {symbol} are {evidence.books[symbol][key]}, by the naive book {expected}"
                )


def _check_positions(evidence: Evidence, naive: NaiveEngine, findings: Findings) -> None:
    net: Counter[tuple[str, str]] = Counter()
    is_open: Counter[tuple[str, str, bool]] = Counter()
    for report in shown_reports(naive):
        if report.exec_type is ExecType.TRADE:
            lots = -report.last_qty if report.sell else report.last_qty
            net[str(report.account), SYMBOL_OF[report.instrument]] += lots
    for order in naive.live:
        is_open[str(order.account), SYMBOL_OF[order.instrument], order.sell] += order.open
    expected = {
        key: (net[key], is_open[(*key, False)], is_open[(*key, True)]) for key in {*net, *(key[:2] for key in is_open)}
    }
    told = {
        (p["account"], p["symbol"]): tuple(int(p[k]) for k in ("net", "open_buy", "open_sell"))
        for p in evidence.positions
    }
    told, expected = ({key: row for key, row in rows.items() if any(row)} for rows in (told, expected))  # type: ignore[assignment]
    if told != expected:
        findings.tell(f"positions: {told}, by the naive book {expected}")
