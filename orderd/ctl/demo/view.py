"""How ``orderctl demo`` shows itself: a live view on a terminal, else a line now and then; a table at the end."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from rich.console import Group
from rich.table import Table
from rich.text import Text

from orderd.ctl.latency import PERCENTILES, shown_us

WIDE: Final = 140
"""Columns of a terminal on which all that is known of a client fits in a row."""

NARROW_COUNTS: Final = ("sent", "confirmed")


@attrs.define
class ClientState:
    """What the demo knows of one client program."""

    name: str
    role: str
    symbol: str
    mode: str
    account: dict[str, Any] = attrs.Factory(dict)
    orders_per_second: float = 0.0

    def count(self, key: str) -> int:
        """A number of the account; 0 before the first report."""
        return int(self.account.get(key, 0))


@attrs.define
class State:
    """One moment of the demo."""

    seconds: float = 0.0
    clients: Sequence[ClientState] = ()
    info: Mapping[str, str] = attrs.Factory(dict)
    books: Sequence[Mapping[str, Any]] = ()
    socket: str = ""
    """Where the daemon listens, for programs that join in."""

    def total(self, key: str) -> int:
        """A number of all accounts."""
        return sum(client.count(key) for client in self.clients)

    @property
    def orders_per_second(self) -> float:
        """Of all clients, lately."""
        return sum(client.orders_per_second for client in self.clients)


def _top(book: Mapping[str, Any]) -> str:
    bid, ask = (f"{side[0][1]} at {side[0][0]}" if side else "-" for side in (book["bids"], book["asks"]))
    return f"{book['symbol']}  {bid} | {ask}"


def _path(info: Mapping[str, str]) -> str:
    udp, grpc = (info.get(f"orders_confirmed_{path}_total", "?") for path in ("udp", "grpc"))
    return f"udp {udp}, grpc {grpc}"


def view(state: State, width: int) -> Group:
    """The live view."""
    info = state.info
    head = Table(box=None, pad_edge=False, show_header=False)
    head.add_column(style="bold")
    head.add_column()
    transport = info.get("transport_state", "?")
    head.add_row("socket", Text(state.socket, overflow="fold"))
    head.add_row("transport", Text(transport, style="green" if transport == "UDP_ENABLED" else "yellow"))
    head.add_row("confirmed over", _path(info))
    orders = (f"{name} {info.get('orders_' + name, '?')}" for name in ("open", "queued", "unconfirmed"))
    head.add_row("orders", ", ".join(orders))
    head.add_row("rate", f"{state.orders_per_second:,.0f} orders/s, {state.total('confirmed'):,} confirmed")
    for book in state.books:
        head.add_row("book", _top(book))
    return Group(
        head, Text(""), clients_table(state, width), Text(f"{state.seconds:.0f} s. Ctrl-C ends the demo.", style="dim")
    )


def clients_table(state: State, width: int) -> Table:
    """A row for each client program, with as much as fits."""
    wide = width >= WIDE
    counts = ("sent", "acknowledged", "confirmed", "rejected", "unknown", "errors", "trades") if wide else NARROW_COUNTS
    shares = [name for name, _ in PERCENTILES] if wide else ["p50", "p99"]
    table = Table(box=None, pad_edge=False)
    for name in ("client", "mode"):
        table.add_column(name, no_wrap=True)
    for name in (*counts, "orders/s", *shares):
        table.add_column(name, justify="right", no_wrap=True)
    for client in state.clients:
        latency = client.account.get("latency_us", {})
        table.add_row(
            f"{client.name} {client.symbol}",
            client.mode,
            *(f"{client.count(name):,}" for name in counts),
            f"{client.orders_per_second:,.0f}",
            *(shown_us(latency[name]) if name in latency else "-" for name in shares),
        )
    return table


def line(state: State) -> str:
    """One moment in one line of plain text."""
    info = state.info
    books = "  ".join(_top(book) for book in state.books)
    return (
        f"{state.seconds:6.1f} s  {state.orders_per_second:,.0f} orders/s  confirmed {state.total('confirmed'):,}  "
        f"open {info.get('orders_open', '?')}  {info.get('transport_state', '?')} ({_path(info)})  {books}"
    )
