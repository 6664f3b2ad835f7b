"""The command line of orderctl: arguments to commands of the daemon, replies to tables or JSON, outcomes to exit codes.

Exit codes: 0 done; 1 the daemon answered with an error, or the order's outcome is REJECTED or UNKNOWN, or a cancel or
replace came too late; 2 wrong usage; 3 no daemon there. Errors are one line on stderr.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.live import Live

from orderd import __version__
from orderd.ctl import output
from orderd.ctl.connection import Connection, default_socket
from orderd.ctl.demo import demo
from orderd.ctl.errors import EXIT_REFUSED, CtlError
from orderd.ctl.options import Options, with_json
from orderd.ctl.replay_cli import replay

SIDES: Final = click.Choice(["BUY", "SELL"], case_sensitive=False)
MODES: Final = click.Choice(["sync", "batch", "fire-and-forget"])
TIMES_IN_FORCE: Final = click.Choice(["DAY", "GTC", "IOC", "FOK"], case_sensitive=False)
STP: Final = click.Choice(["NONE", "CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH"], case_sensitive=False)
EXECUTIONS_PAGE: Final = 1000
FOLLOW_BLOCK_MS: Final = 1000
WATCH_INTERVAL_S: Final = 0.25


class Group(click.Group):
    """Turns the errors of the package into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CtlError as error:
            click.echo(f"orderctl: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="ORDERD_SOCKET",
    help="The daemon's Unix socket. Default: $ORDERD_SOCKET, else where a daemon without settings listens.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, one value a line.")
@click.version_option(__version__, prog_name="orderctl")
@click.pass_context
def main(ctx: click.Context, socket: Path | None, timeout_s: float, as_json: bool) -> None:
    """Place orders with orderd, see what became of them, and look after the daemon."""
    ctx.obj = Options(socket or default_socket(), timeout_s, as_json)


main.add_command(replay)
main.add_command(demo)


def show_order(options: Options, order: Mapping[str, Any], *, refused: bool = False) -> None:
    """Prints an order's pairs and ends with exit code 1 if it was not done."""
    if options.json:
        output.print_json(order)
    else:
        output.console().print(output.pairs_table(order))
    if refused or order.get("status") in ("REJECTED", "UNKNOWN"):
        sys.exit(EXIT_REFUSED)


@main.command()
@click.argument("cl_ord_id")
@click.argument("symbol")
@click.argument("side", type=SIDES)
@click.argument("quantity")
@click.option("--limit", metavar="PRICE", help="A limit order at this price.")
@click.option("--market", is_flag=True, help="A market order.")
@click.option("--tif", type=TIMES_IN_FORCE, help="Time in force. Default: DAY.")
@click.option("--post-only", is_flag=True, help="Reject rather than trade at once.")
@click.option("--account", type=click.IntRange(0, 65_535))
@click.option("--stp", type=STP, help="Self-trade prevention.")
@click.option("--max-age", metavar="MS", type=click.IntRange(min=1), help="Do not send it later than this.")
@click.option("--mode", type=MODES, help="How to wait. Default: the daemon's mode.")
@with_json
@click.pass_obj
def submit(
    options: Options,
    cl_ord_id: str,
    symbol: str,
    side: str,
    quantity: str,
    limit: str | None,
    market: bool,
    tif: str | None,
    post_only: bool,
    account: int | None,
    stp: str | None,
    max_age: int | None,
    mode: str | None,
) -> None:
    """Place an order. CL_ORD_ID is yours to choose, or "-" to have a number taken that was never used."""
    if market == (limit is not None):
        raise click.UsageError("Give one of --limit PRICE and --market.")
    kind = ["MARKET"] if limit is None else ["LIMIT", limit]
    given = {"TIF": tif, "ACCOUNT": account, "STP": stp, "MAXAGE": max_age, "MODE": mode}
    extra = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    if post_only:
        extra.append("POSTONLY")
    with options.connect() as connection:
        if cl_ord_id == "-":
            cl_ord_id = str(connection.call("ORDER.RESERVE", 1))
        order = connection.call("ORDER.NEW", cl_ord_id, symbol, side.upper(), quantity, *kind, *extra)
    show_order(options, order)


@main.command()
@click.argument("cl_ord_id")
@click.option("--id", "request_id", help="An id for this request, which makes it safe to send again.")
@with_json
@click.pass_obj
def cancel(options: Options, cl_ord_id: str, request_id: str | None) -> None:
    """Cancel what is open of an order."""
    extra = ["ID", request_id] if request_id else []
    with options.connect() as connection:
        order = connection.call("ORDER.CANCEL", cl_ord_id, *extra)
    show_order(options, order, refused=order.get("status") not in ("CANCELED", "QUEUED"))


@main.command(name="replace")
@click.argument("cl_ord_id")
@click.argument("quantity")
@click.argument("price")
@click.option("--open", "open_", is_flag=True, help="QUANTITY is the new open quantity, not the new total.")
@click.option("--id", "request_id", help="An id for this request, which makes it safe to send again.")
@with_json
@click.pass_obj
def replace_order(
    options: Options, cl_ord_id: str, quantity: str, price: str, open_: bool, request_id: str | None
) -> None:
    """Give an order another quantity and price. QUANTITY is the new total: what was filled counts."""
    extra = ["OPEN"] if open_ else []
    extra += ["ID", request_id] if request_id else []
    with options.connect() as connection:
        order = connection.call("ORDER.REPLACE", cl_ord_id, quantity, price, *extra)
    # Of an order that was replaced, or cancelled since less was asked for than is filled, no other reason is told.
    show_order(options, order, refused=order.get("reason", "NONE") not in ("NONE", "REPLACED_BELOW_FILLED"))


@main.command()
@click.argument("cl_ord_id")
@click.option("--wait", metavar="MS", type=click.IntRange(min=1), help="Wait so long for it to be confirmed.")
@with_json
@click.pass_obj
def status(options: Options, cl_ord_id: str, wait: int | None) -> None:
    """What became of an order."""
    with options.connect() as connection:
        if wait is None:
            order = connection.call("ORDER.STATUS", cl_ord_id)
        else:
            order = connection.call("ORDER.WAIT", cl_ord_id, wait, wait_s=wait / 1000)
    show_order(options, order)


@main.command()
@click.argument("symbol")
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


@main.command()
@click.option(
    "--after", default="0", show_default=True, metavar="N", help='Start behind this exec_id; "$": from now on.'
)
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many. Default: 100, with --follow no end.")
@with_json
@click.pass_obj
def executions(options: Options, after: str, follow: bool, count: int | None) -> None:
    """What happened to all orders, in order: accepted, traded, cancelled, ...  With --json one object a line."""
    left = count if count is not None else sys.maxsize if follow else 100
    with options.connect() as connection:
        pages = _execution_pages(connection, after, left, follow=follow)
        if options.json:
            for execution in (execution for page in pages for execution in page):
                output.print_json(execution)
        elif follow:
            for execution in (execution for page in pages for execution in page):
                click.echo(output.execution_line(execution))
        else:
            found = [execution for page in pages for execution in page]
            output.console().print(output.executions_table(found))


def _execution_pages(connection: Connection, after: str, left: int, *, follow: bool) -> Iterator[list[dict[str, Any]]]:
    """Executions behind ``after``, at most ``left`` of them, as they come."""
    block = ["BLOCK", str(FOLLOW_BLOCK_MS)] if follow else []
    while left > 0:
        page = min(left, EXECUTIONS_PAGE)
        found = connection.call("EXEC.READ", after, "COUNT", page, *block, wait_s=FOLLOW_BLOCK_MS / 1000)
        if found:
            after = str(found[-1][0])
            left -= len(found)
            yield [{"exec_id": exec_id, **pairs} for exec_id, pairs in found]
        elif not follow:
            return


@main.command()
@click.argument("section", required=False)
@with_json
@click.pass_obj
def info(options: Options, section: str | None) -> None:
    """The daemon's counters and state. With --json an object of sections."""
    with options.connect() as connection:
        sections = output.info_sections(connection.call("INFO", *([section] if section else [])))
    if options.json:
        output.print_json(sections)
        return
    console = output.console()
    for number, (name, values) in enumerate(sections.items()):
        if number:
            console.print()
        console.print(output.pairs_table(values, title=name or None))
