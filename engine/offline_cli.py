"""The commands of ``orderd-engine`` that read a journal: ``book``, ``dump``, ``hash``, ``replay`` and ``snapshot``.

They lock nothing, and work while the engine runs or is stopped. All but ``snapshot`` write nothing either. What they
say is true of the commit that they name.
"""

import json
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from engine.config import EngineSource
from engine.core import BOOK_DEPTH_MAX, EngineCore
from engine.inputs import InputError
from engine.journal_dump import facts_of, orders_of, shown_time
from engine.markets import MarketRules
from engine.offline import Reading, instruments_of, read_records, read_state
from engine.restoring import orders_executed
from engine.snapshot import state_hash
from engine.snapshot_maker import be_humble, end_with_parent, make_snapshot
from orderd.journal.errors import JournalError
from orderd.runtime.instruments import Instrument
from orderd.runtime.process import fail
from orderd.runtime.settings import SettingsError
from orderd.wire.reports import ExecType, Report, iter_reports

PROGRAM: Final = "orderd-engine"
_ALL: Final = 2**63


def _where(command: Any) -> Any:
    """The options that name the journal."""
    for option in (
        click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting."),
        click.option("--config", type=click.Path(path_type=Path), help="Settings file that names the directory."),
        click.option("--directory", type=click.Path(path_type=Path), help="The journal's directory."),
    ):
        command = option(command)
    return command


def _directory(directory: Path | None, config: Path | None, overrides: tuple[str, ...]) -> str:
    if directory is not None:
        return str(directory)
    try:
        return EngineSource.find(config, overrides).load().journal.directory
    except SettingsError as error:
        fail(PROGRAM, str(error), 2)


def _read(directory: str, **how: Any) -> Reading:
    try:
        reading = read_state(directory, **how)
    except (JournalError, InputError, OSError) as error:
        _give_up(error)
    for damaged in reading.damaged:
        click.echo(f"{PROGRAM}: {damaged.path}: {damaged.why}; going on without it", err=True)
    return reading


def _give_up(error: Exception) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise error  # Whoever read our output has seen enough; click ends that quietly.
    fail(PROGRAM, str(error), 1 if isinstance(error, OSError) else 3)


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {value}")


def _position(reading: Reading) -> dict[str, Any]:
    core = reading.core
    return {
        "commit": reading.commit,
        "time": shown_time(core._last_time_ns),
        "from": "the first record" if reading.start is None else f"snapshot before segment {reading.start.index}",
        "entries_read": reading.entries,
    }


@click.command("hash")
@_where
@click.option("--from-start", is_flag=True, help="From the first record, without any snapshot.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def hash_command(
    directory: Path | None, config: Path | None, overrides: tuple[str, ...], from_start: bool, as_json: bool
) -> None:
    """Say what state the journal leads to, as a hash, and check that it does not contradict itself."""
    be_humble()
    reading = _read(_directory(directory, config, overrides), from_start=from_start)
    _tell(_state(reading), as_json=as_json)


def _state(reading: Reading) -> dict[str, Any]:
    """Raises AssertionError, which is a defect, if books and sessions contradict themselves."""
    core = reading.core
    core.matcher.check_invariants()
    participants = core._participants.values()
    return {
        "hash": state_hash(core).hex(),
        **_position(reading),
        "boot": core.boot,
        "orders_executed": orders_executed(core),
        "orders_open": sum(len(participant.orders.live) for participant in participants),
        "stops_waiting": sum(participant.orders.stops for participant in participants),
        "trades": core.matcher.next_trade_id - 1,
        "sessions": len(participants),
        "invariants": "hold",
    }


@click.command("book")
@_where
@click.argument("symbol")
@click.option("--depth", type=click.IntRange(1, BOOK_DEPTH_MAX), default=10, show_default=True, help="Levels per side.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def book_command(
    directory: Path | None, config: Path | None, overrides: tuple[str, ...], symbol: str, depth: int, as_json: bool
) -> None:
    """Show the book of SYMBOL as the journal has it."""
    be_humble()
    reading = _read(_directory(directory, config, overrides))
    instruments = {instrument.symbol: instrument for instrument in instruments_of(reading.core).values()}
    instrument = instruments.get(symbol)
    if instrument is None:
        known = ", ".join(instruments) or "none"
        fail(PROGRAM, f"{symbol} is no instrument of this journal; known: {known}", 2)
    book = reading.core.matcher.book(instrument.id)
    levels = [[_level(instrument, *level) for level in side] for side in book.depth(depth)]  # bids, asks
    facts = {
        "symbol": symbol,
        **_position(reading),
        "last_price": instrument.format_price(book.last_price).decode() if book.last_price else "-",
        "market": _market(instrument, book.rules),
        "stops_waiting": sum(1 for _ in book.stops),
    }
    if as_json:
        click.echo(json.dumps({**facts, "bids": levels[0], "asks": levels[1]}))
        return
    _tell(facts, as_json=False)
    click.echo(f"\n{'price':>20} {'quantity':>20} {'orders':>8}")
    for name, side in (("ask", levels[1][::-1]), ("bid", levels[0])):
        for price, quantity, orders in side:
            click.echo(f"{price:>20} {quantity:>20} {orders:>8}  {name}")


def _level(instrument: Instrument, price: int, quantity: int, orders: int) -> tuple[str, str, int]:
    return instrument.format_price(price).decode(), instrument.format_quantity(quantity).decode(), orders


def _market(instrument: Instrument, rules: MarketRules) -> str:
    words = ["halted" if rules.halted else "open"]
    for name, ticks in (("low", rules.low), ("high", rules.high)):
        if ticks:
            words.append(f"{name} {instrument.format_price(ticks).decode()}")
    return ", ".join(words)


class _TradePrinter:
    """Prints each trade once, as its taker was told."""

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self._seen = {id_: participant.receiver.log.next for id_, participant in core._participants.items()}

    def __call__(self) -> None:
        # A record can trade for several sessions: triggered stops do.
        trades: list[tuple[int, int, Report]] = []
        for session_id, participant in self._core._participants.items():
            log, seen = participant.receiver.log, self._seen.get(session_id, 1)
            if log.next > seen:
                first, _, items = log.read(seen, _ALL)
                trades += (
                    (report.trade_id, session_id, report)
                    for report in iter_reports(items, first)
                    if report.report >= seen and report.exec_type is ExecType.TRADE and report.taker
                )
                self._seen[session_id] = log.next
        for _, session_id, report in sorted(trades, key=itemgetter(0)):
            _print_trade(self._core, session_id, report)


def _print_trade(core: EngineCore, session_id: int, report: Report) -> None:
    instrument = instruments_of(core)[report.instrument]
    click.echo(
        f"trade {report.trade_id} {shown_time(report.transact_time_ns)} {instrument.symbol} "
        f"{'SELL' if report.sell else 'BUY'} {instrument.format_quantity(report.last_qty).decode()} "
        f"at {instrument.format_price(report.last_px).decode()} by order {report.order} of {session_id:016x}"
    )


@click.command("replay")
@_where
@click.option("--to", "to_commit", type=click.IntRange(1), help="Up to this commit and with it.")
@click.option("--trades", is_flag=True, help="Print each trade of what is rerun.")
@click.option("--from-start", is_flag=True, help="From the first record, without any snapshot.")
@click.option("--json", "as_json", is_flag=True, help="The end as JSON.")
def replay_command(
    directory: Path | None, config: Path | None, overrides: tuple[str, ...],
    to_commit: int | None, trades: bool, from_start: bool, as_json: bool,
) -> None:  # fmt: skip
    """Rerun the journal, up to a commit, and say what state that leads to."""
    be_humble()
    where = _directory(directory, config, overrides)
    watch = _TradePrinter if trades else None
    _tell(_state(_read(where, to_commit=to_commit, from_start=from_start, watch=watch)), as_json=as_json)


@click.command("snapshot")
@_where
@click.option("--before", type=click.IntRange(2), help="Index of the segment that it is to stand before.")
@click.option("--child", is_flag=True, hidden=True, help="End when standard input ends; speak JSON.")
def snapshot_command(
    directory: Path | None, config: Path | None, overrides: tuple[str, ...], before: int | None, child: bool
) -> None:
    """Make a snapshot of what the sealed segments of the journal lead to. A running engine does so by itself."""
    if child:
        end_with_parent()
    be_humble()
    try:
        made = make_snapshot(_directory(directory, config, overrides), before)
    except (JournalError, InputError, OSError) as error:
        _give_up(error)
    if child:
        click.echo(made.encode())
        return
    for why in made.unusable:
        click.echo(f"{PROGRAM}: {why}; made without it", err=True)
    click.echo(
        f"snapshot before segment {made.index}: {made.size_bytes} bytes, {made.orders} orders executed, "
        f"{made.open} open, in {made.seconds} s"
    )


@click.command("dump")
@_where
@click.option("--after", type=click.IntRange(0), default=0, help="Only what comes behind this commit.")
@click.option("--orders", is_flag=True, help="Each order record, too.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, an object a line.")
def dump_command(
    directory: Path | None, config: Path | None, overrides: tuple[str, ...], after: int, orders: bool, as_json: bool
) -> None:
    """Show the records of the journal: the inputs that the engine has executed."""
    where = _directory(directory, config, overrides)
    try:
        for record in read_records(where):
            if record.commit <= after:
                continue
            _dump({"commit": record.commit, **facts_of(record.kind, record.payload)}, "", as_json=as_json)
            if orders:
                for order in orders_of(record.kind, record.payload):
                    _dump(order, "  ", as_json=as_json)
    except (JournalError, InputError, OSError) as error:
        _give_up(error)


def _dump(facts: dict[str, Any], indent: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(indent + " ".join(f"{name}={value}" for name, value in facts.items()))


COMMANDS: Final = (hash_command, book_command, replay_command, dump_command, snapshot_command)
