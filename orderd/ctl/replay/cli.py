"""The command ``orderctl replay``."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import attrs
import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orderd.ctl import output
from orderd.ctl.connection import Connection
from orderd.ctl.errors import EXIT_REFUSED, InputError
from orderd.ctl.latency import PERCENTILES, shown_us
from orderd.ctl.options import Options, with_json
from orderd.ctl.replay.run import Replay, Result
from orderd.ctl.replay.source import (
    LOBSTER_SCALE,
    Flow,
    PriceText,
    read_commands,
    read_expected_trades,
    read_lobster,
)

MODES: Final = click.Choice(["sync", "batch", "fire-and-forget"])
_COMMANDS_SUFFIX: Final = ".commands.tsv"
_TRADES_SUFFIX: Final = ".expected_trades.csv"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "format_", type=click.Choice(["lobster", "commands"]), required=True, help="What FILE holds.")
@click.option("--symbol", required=True, metavar="S", help="The instrument to trade in.")
@click.option(
    "--mode", "modes", type=MODES, multiple=True, help="Again for several, one run each. Default: the daemon's."
)
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Times real time. Default: as fast as it goes."
)
@click.option(
    "--price-scale", metavar="X", help="What a price of 1 in FILE is worth. Default: commands: a tick; lobster: 0.0001."
)
@click.option(
    "--verify/--no-verify", default=True, help="Compare books and trades with what FILE says (commands only)."
)
@click.option(
    "--cancel-rest", is_flag=True, help="Cancel at the end what the replay left open; always done between runs."
)
@with_json
@click.pass_obj
def replay(
    options: Options,
    /,
    file: Path,
    format_: str,
    symbol: str,
    modes: tuple[str, ...],
    speed: float | None,
    price_scale: str | None,
    verify: bool,
    cancel_rest: bool,
) -> None:
    """Send real order flow from FILE (gzipped or plain) through the daemon and account for every order.

    Formats: "lobster" message files, and "commands" (tab-separated; with checkpoints of the book, and trades in
    NAME.expected_trades.csv.gz beside NAME.commands.tsv.gz, which must come out exactly: the book must be empty).

    Ends with exit code 0 only if every order sent was confirmed and everything compared is equal.
    """
    commands = format_ == "commands"
    if commands and speed is not None:
        raise click.UsageError("--speed: a file of commands has no times.")
    with options.connect() as connection, options.connect() as control:
        text = _price_text(control, symbol, price_scale, None if commands else LOBSTER_SCALE)
        flow = (read_commands if commands else read_lobster)(file, text)
        expected = _expected_trades(file, text) if commands and verify else None
        results = []
        for place, mode in enumerate(modes or (None,), 1):
            if commands and verify:
                _require_empty_book(control, symbol)
            with _progress(options, len(flow.actions), mode) as on_progress:
                run = Replay(connection, control, symbol, mode=mode, on_progress=on_progress)
                run.run(flow if verify or not commands else _without_checks(flow), speed=speed)
            if commands and verify:
                run.verify_counts()
                if expected is not None:
                    run.verify_trades(expected)
            if cancel_rest or place < len(modes):
                run.cancel_rest()
            results.append(run.result)
    _show(options, results)
    if not all(result.ok for result in results):
        sys.exit(EXIT_REFUSED)


def _price_text(control: Connection, symbol: str, price_scale: str | None, scale: Decimal | None) -> PriceText:
    """The conversion to the instrument's ticks and lots."""
    for instrument in control.call("INSTRUMENTS"):
        if instrument["symbol"] == symbol:
            tick, lot = Decimal(instrument["tick"]), Decimal(instrument["lot"])
            break
    else:
        raise InputError(f"the daemon has no instrument {symbol!r}")
    try:
        scale = Decimal(price_scale) if price_scale else scale or tick
    except InvalidOperation:
        scale = Decimal(0)
    if not scale.is_finite() or scale <= 0:
        raise InputError(f"--price-scale {price_scale!r} is not a positive decimal")
    return PriceText(tick, lot, scale)


def _expected_trades(file: Path, text: PriceText) -> list[tuple[int, str, str, str]] | None:
    """The trades that lie beside ``NAME.commands.tsv[.gz]``, if they do."""
    name, suffix, packed = file.name.partition(_COMMANDS_SUFFIX)
    beside = file.with_name(name + _TRADES_SUFFIX + packed)
    return read_expected_trades(beside, text) if suffix and beside.exists() else None


def _require_empty_book(control: Connection, symbol: str) -> None:
    book = control.call("BOOK", symbol, "DEPTH", 1)
    if book["bids"] or book["asks"]:
        raise InputError(f"the book of {symbol} is not empty, so nothing can come out as the file says; or --no-verify")


def _without_checks(flow: Flow) -> Flow:
    return attrs.evolve(flow, actions=[action for action in flow.actions if not action.is_check])


@contextmanager
def _progress(options: Options, total: int, mode: str | None) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, if that is a terminal."""
    console = output.console(stderr=True)
    if options.json or not console.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn(mode or "replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def _show(options: Options, results: list[Result]) -> None:
    if options.json:
        for result in results:
            output.print_json(result.as_json())
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("mode", style="bold")
    for result in results:
        table.add_column(result.mode, justify="right")
    columns = [_column(result) for result in results]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    output.console().print(table)
    for result in results:
        for note in result.notes:
            click.echo(f"{result.mode}: {note}")
        for problem in result.problems:
            click.echo(f"{result.mode}: {problem}", err=True)
        if result.problems_total > len(result.problems):
            click.echo(f"{result.mode}: {result.problems_total - len(result.problems)} more like these", err=True)


def _column(result: Result) -> dict[str, str]:
    skipped = ", ".join(f"{count} of type {kind}" for kind, count in result.skipped_types.items())
    shown: dict[str, Any] = {
        "sent": result.sent,
        "skipped, order never seen": result.skipped_unseen,
        "skipped, type": skipped or 0,
        "confirmed": result.confirmed,
        "rejected": result.rejected,
        "too late": result.too_late,
        "unknown": result.unknown,
        "errors": ", ".join(f"{count} {word}" for word, count in result.errors.items()) or 0,
        "trades": "not known" if result.trades is None else result.trades,
        "books compared": result.checkpoints,
        "trades compared": result.trades_compared,
        "seconds": f"{result.seconds:.2f}",
        "orders/s": f"{result.sent / result.seconds:,.0f}" if result.seconds else "-",
    }
    for name, _ in PERCENTILES:
        shown[f"latency {name}"] = shown_us(result.latency_us[name]) if result.latency_us else "-"
    return {name: str(value) for name, value in shown.items()}
