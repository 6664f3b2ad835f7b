"""Commands of orderctl that show the market: instruments, books, executions."""

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click
from rich.live import Live

from orderd.ctl import output
from orderd.ctl.completion import complete_symbol
from orderd.ctl.connection import Connection
from orderd.ctl.options import Options, with_json

EXECUTIONS_PAGE: Final = 1000
FOLLOW_BLOCK_MS: Final = 1000
WATCH_INTERVAL_S: Final = 0.25


@click.command()
@with_json
@click.pass_obj
def instruments(options: Options) -> None:
    """What can be traded, with its id, tick and lot. With --json one object a line."""
    with options.connect() as connection:
        found = connection.call("INSTRUMENTS")
    if options.json:
        for instrument in found:
            output.print_json(instrument)
    else:
        columns = (("symbol", "left"), ("id", "right"), ("tick", "right"), ("lot", "right"))
        output.console().print(output.rows_table(columns, found))


@click.command()
@click.argument("symbol", shell_complete=complete_symbol)
@click.option("--depth", type=click.IntRange(min=1), default=10, show_default=True, help="Price levels a side.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C, showing each change.")
@with_json
@click.pass_obj
def book(options: Options, symbol: str, depth: int, watch: bool) -> None:
    """The best prices of an instrument and what is open there."""
    console = output.console()
    with options.connect() as connection:
        current = connection.call("BOOK", symbol, "DEPTH", depth)
        if not watch:
            if options.json:
                output.print_json(current)
            else:
                console.print(output.book_table(current))
            return
        live = not options.json and console.is_terminal
        with Live(output.book_table(current), console=console, refresh_per_second=8) if live else _Lines() as view:
            shown = None
            while True:
                if current != shown:
                    if options.json:
                        output.print_json(current)
                    elif live:
                        view.update(output.book_table(current))
                    else:
                        console.print(output.book_table(current))
                    shown = current
                time.sleep(WATCH_INTERVAL_S)
                current = connection.call("BOOK", symbol, "DEPTH", depth)


class _Lines:
    """Stands where the live view would, when there is no terminal."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@click.command()
@click.option(
    "--after", default="0", show_default=True, metavar="N", help='Start behind this exec_id; "$": from now on.'
)
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--account", type=click.IntRange(0, 65_535), help="Of this account.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many. Default: 100, with --follow no end.")
@with_json
@click.pass_obj
def executions(options: Options, after: str, follow: bool, account: int | None, count: int | None) -> None:
    """What happened to all orders, in order: accepted, traded, cancelled, ...  With --json one object a line."""
    left = count if count is not None else sys.maxsize if follow else 100
    with options.connect() as connection:
        pages = _execution_pages(connection, after, left, account, follow=follow)
        if options.json:
            for execution in (execution for page in pages for execution in page):
                output.print_json(execution)
        elif follow:
            for execution in (execution for page in pages for execution in page):
                click.echo(output.execution_line(execution))
        else:
            found = [execution for page in pages for execution in page]
            output.console().print(output.executions_table(found))


def _execution_pages(
    connection: Connection, after: str, left: int, account: int | None, *, follow: bool
) -> Iterator[list[dict[str, Any]]]:
    """Executions behind ``after``, at most ``left`` of them, as they come."""
    more = ["BLOCK", str(FOLLOW_BLOCK_MS)] if follow else []
    more += ["ACCOUNT", str(account)] if account is not None else []
    if follow and after == "$":
        # Between two reads "from now on" would leave out what happens meanwhile.
        after = _last_execution(connection)
    while left > 0:
        page = min(left, EXECUTIONS_PAGE)
        found = connection.call("EXEC.READ", after, "COUNT", page, *more, wait_s=FOLLOW_BLOCK_MS / 1000)
        if found:
            after = str(found[-1][0])
            left -= len(found)
            yield [{"exec_id": exec_id, **pairs} for exec_id, pairs in found]
        elif not follow:
            return


def _last_execution(connection: Connection) -> str:
    lines: list[str] = connection.call("INFO", "executions").splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return values["executions_last_id"]
