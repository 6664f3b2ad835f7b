"""How orderctl shows things: tables for people, JSON for programs. Values are shown as the daemon sent them."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

EXECUTION_COLUMNS: Final = (
    ("exec_id", "right"),
    ("exec_type", "left"),
    ("cl_ord_id", "left"),
    ("symbol", "left"),
    ("side", "left"),
    ("last_qty", "right"),
    ("last_px", "right"),
    ("cum_qty", "right"),
    ("leaves_qty", "right"),
    ("status", "left"),
    ("liquidity", "left"),
    ("reason", "left"),
)
ORDER_COLUMNS: Final = (
    ("cl_ord_id", "left"),
    ("order_id", "right"),
    ("symbol", "left"),
    ("side", "left"),
    ("status", "left"),
    ("quantity", "right"),
    ("cum_qty", "right"),
    ("leaves_qty", "right"),
    ("avg_px", "right"),
    ("path", "left"),
    ("reason", "left"),
)
_WIDTH_WITHOUT_TERMINAL: Final = 160


def console(*, stderr: bool = False) -> Console:
    """The console for people; wide enough for every table when there is no terminal to ask."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """One JSON value in one line, at once, so that a pipe's reader sees it when it happens."""
    click.echo(json.dumps(value, ensure_ascii=True, separators=(", ", ": ")))


def pairs_table(pairs: Mapping[str, Any], title: str | None = None) -> Table:
    """Names and values, one under the other."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in pairs.items():
        table.add_row(name, str(value))
    return table


def book_table(book: Mapping[str, Any]) -> Table:
    """Bids left, asks right, best on top."""
    table = Table(title=str(book["symbol"]), title_justify="left", box=None, pad_edge=False)
    for name in ("orders", "quantity", "bid", "ask", "quantity", "orders"):
        table.add_column(name, justify="left" if name == "ask" else "right")
    bids: Sequence[Sequence[Any]] = book["bids"]
    asks: Sequence[Sequence[Any]] = book["asks"]
    for i in range(max(len(bids), len(asks))):
        left = [str(value) for value in reversed(bids[i])] if i < len(bids) else [""] * 3
        right = [str(value) for value in asks[i]] if i < len(asks) else [""] * 3
        table.add_row(*left, *right)
    return table


def execution_line(execution: Mapping[str, Any]) -> str:
    """One execution as one line of text, for a stream that has no end and so no table."""
    return "  ".join(f"{name}={execution[name]}" for name, _ in EXECUTION_COLUMNS if execution.get(name))


def rows_table(columns: Iterable[tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> Table:
    """One mapping in a row; ``columns`` are keys, each with ``left`` or ``right``."""
    columns = tuple(columns)
    table = Table(box=None, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name, _ in columns))
    return table


def executions_table(executions: Iterable[Mapping[str, Any]]) -> Table:
    """Executions, one in a row."""
    return rows_table(EXECUTION_COLUMNS, executions)


def orders_table(orders: Iterable[Mapping[str, Any]]) -> Table:
    """Orders, one in a row."""
    return rows_table(ORDER_COLUMNS, orders)


def info_sections(text: str) -> dict[str, dict[str, str]]:
    """INFO's text by section (lower case) and key."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for line in text.splitlines():
        if line.startswith("#"):
            current = sections.setdefault(line[1:].strip().lower(), {})
        elif ":" in line:
            if current is None:
                current = sections.setdefault("", {})
            name, _, value = line.partition(":")
            current[name] = value
    return sections


def info_values(text: str) -> dict[str, str]:
    """INFO's text by key, sections left out."""
    return {name: value for section in info_sections(text).values() for name, value in section.items()}
