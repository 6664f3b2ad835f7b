"""Commands of orderctl about single orders, and about all that are open."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from orderd.ctl import output
from orderd.ctl.completion import complete_order, complete_symbol
from orderd.ctl.connection import Connection
from orderd.ctl.errors import EXIT_REFUSED
from orderd.ctl.options import Options, with_json

SIDES: Final = click.Choice(["BUY", "SELL"], case_sensitive=False)
MODES: Final = click.Choice(["sync", "batch", "fire-and-forget"])
TIMES_IN_FORCE: Final = click.Choice(["DAY", "GTC", "IOC", "FOK"], case_sensitive=False)
STP: Final = click.Choice(["NONE", "CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH"], case_sensitive=False)
ACCOUNTS: Final = click.IntRange(0, 65_535)
LIST_PAGE: Final = 1000
UNFINISHED: Final = ("QUEUED", "UNKNOWN", "REJECTED")


def show_order(options: Options, order: Mapping[str, Any], *, refused: bool = False) -> None:
    """Prints an order's pairs and ends with exit code 1 if it was not done."""
    if options.json:
        output.print_json(order)
    else:
        output.console().print(output.pairs_table(order))
    if refused or order.get("status") in ("REJECTED", "UNKNOWN"):
        sys.exit(EXIT_REFUSED)


@click.command()
@click.argument("cl_ord_id")
@click.argument("symbol", shell_complete=complete_symbol)
@click.argument("side", type=SIDES)
@click.argument("quantity")
@click.option("--limit", metavar="PRICE", help="A limit order at this price.")
@click.option("--market", is_flag=True, help="A market order.")
@click.option("--tif", type=TIMES_IN_FORCE, help="Time in force. Default: DAY.")
@click.option("--gtd", metavar="TIME", help="Expires then: RFC 3339 with a zone, or milliseconds since 1970 UTC.")
@click.option("--post-only", is_flag=True, help="Reject rather than trade at once.")
@click.option("--stop", metavar="PRICE", help="A stop order: it waits for a trade at this price or beyond.")
@click.option("--display", metavar="QUANTITY", help="Show no more than this of what rests.")
@click.option("--min-qty", metavar="QUANTITY", help="Trade at least this at once, or nothing.")
@click.option("--account", type=ACCOUNTS)
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
    gtd: str | None,
    post_only: bool,
    stop: str | None,
    display: str | None,
    min_qty: str | None,
    account: int | None,
    stp: str | None,
    max_age: int | None,
    mode: str | None,
) -> None:
    """Place an order. CL_ORD_ID is yours to choose, or "-" to have a number taken that was never used."""
    if market == (limit is not None):
        raise click.UsageError("Give one of --limit PRICE and --market.")
    kind = ["MARKET"] if limit is None else ["LIMIT", limit]
    given: dict[str, str | int | None] = {"TIF": tif, "GTD": gtd, "STOP": stop, "DISPLAY": display, "MINQTY": min_qty}
    given |= {"ACCOUNT": account, "STP": stp, "MAXAGE": max_age, "MODE": mode}
    extra = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    if post_only:
        extra.append("POSTONLY")
    with options.connect() as connection:
        if cl_ord_id == "-":
            cl_ord_id = str(connection.call("ORDER.RESERVE", 1))
        order = connection.call("ORDER.NEW", cl_ord_id, symbol, side.upper(), quantity, *kind, *extra)
    show_order(options, order)


@click.command()
@click.argument("cl_ord_id", shell_complete=complete_order)
@click.option("--id", "request_id", help="An id for this request, which makes it safe to send again.")
@with_json
@click.pass_obj
def cancel(options: Options, cl_ord_id: str, request_id: str | None) -> None:
    """Cancel what is open of an order."""
    extra = ["ID", request_id] if request_id else []
    with options.connect() as connection:
        order = connection.call("ORDER.CANCEL", cl_ord_id, *extra)
    show_order(options, order, refused=order.get("status") not in ("CANCELED", "QUEUED"))


@click.command(name="replace")
@click.argument("cl_ord_id", shell_complete=complete_order)
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


@click.command()
@click.argument("cl_ord_id", shell_complete=complete_order)
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


@click.command()
@click.argument("cl_ord_id", shell_complete=complete_order)
@click.option(
    "--timeout", "limit_s", type=click.FloatRange(0, 86_400), default=30.0, show_default=True, help="Seconds to wait."
)
@with_json
@click.pass_obj
def wait(options: Options, cl_ord_id: str, limit_s: float) -> None:
    """Wait until an order, or the request with this id, is confirmed. Exit code 1 if it is not by then."""
    with options.connect() as connection:
        order = connection.call("ORDER.WAIT", cl_ord_id, round(limit_s * 1000), wait_s=limit_s)
    show_order(options, order, refused=order.get("status") in UNFINISHED)


@click.command(name="list")
@click.option("--all", "all_", is_flag=True, help="Also those that are done, as far as the daemon remembers them.")
@click.option("--symbol", metavar="S", shell_complete=complete_symbol, help="Of this instrument.")
@click.option("--account", type=ACCOUNTS, help="Of this account.")
@click.option("--after", metavar="ORDER_ID", type=click.IntRange(min=0), default=0, help="Start behind this order_id.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="At most.")
@with_json
@click.pass_obj
def list_orders(options: Options, all_: bool, symbol: str | None, account: int | None, after: int, limit: int) -> None:
    """Orders that may still trade, by ascending order_id. With --json one object a line."""
    words = ["ALL" if all_ else "OPEN", *_filter_words(symbol, None, account)]
    with options.connect() as connection:
        pages = _order_pages(connection, words, after, limit)
        if options.json:
            for page in pages:
                for order in page:
                    output.print_json(order)
            return
        orders = [order for page in pages for order in page]
    output.console().print(output.orders_table(orders))
    if len(orders) == limit:
        click.echo(f"There may be more: --after {orders[-1]['order_id']}, or a higher --limit.", err=True)


def _order_pages(
    connection: Connection, words: list[str], after: int | str, left: int
) -> Iterator[list[dict[str, Any]]]:
    """Orders behind ``after``, at most ``left`` of them."""
    while left > 0:
        count = min(left, LIST_PAGE)
        found = connection.call("ORDER.LIST", *words, "AFTER", after, "COUNT", count)
        if found:
            yield found
        if len(found) < count:
            return
        after = found[-1]["order_id"]
        left -= len(found)


def _filter_words(symbol: str | None, side: str | None, account: int | None) -> list[str]:
    given = {"SYMBOL": symbol, "SIDE": side and side.upper(), "ACCOUNT": account}
    return [str(word) for pair in given.items() if pair[1] is not None for word in pair]


@click.command()
@click.option("--symbol", metavar="S", shell_complete=complete_symbol, help="Only of this instrument.")
@click.option("--side", type=SIDES, help="Only of this side.")
@click.option("--account", type=ACCOUNTS, help="Only of this account.")
@with_json
@click.pass_obj
def masscancel(options: Options, symbol: str | None, side: str | None, account: int | None) -> None:
    """Cancel all open orders, or all that fit every option given, and tell how many these were."""
    with options.connect() as connection:
        done = connection.call("ORDER.MASSCANCEL", *_filter_words(symbol, side, account))
    show_order(options, done)
