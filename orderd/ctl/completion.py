"""Completion in shells: the script that a shell sources, and what is completed from the running daemon."""

from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from orderd.ctl.connection import Connection, default_socket
from orderd.ctl.errors import CtlError

ANSWER_S: Final = 0.1
"""For each of connecting, greeting and asking; somebody waits with a finger on the tab key."""
ORDERS_SHOWN: Final = 200
VARIABLE: Final = "_ORDERCTL_COMPLETE"
"""By this the script asks; the name is click's for a program called orderctl."""
SHELLS: Final = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """What ``shell``, one of :data:`SHELLS`, sources to complete the words of orderctl."""
    found = get_completion_class(shell)
    assert found is not None, shell
    completion = found(click.Group(), {}, "orderctl", VARIABLE)
    # Not source(): that of bash runs bash for its version.
    return completion.source_template % completion.source_vars()


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what completes orderctl's words in SHELL. For bash: eval "$(orderctl completion bash)"."""
    click.echo(script(shell))


def complete_symbol(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Symbols of the daemon's instruments."""
    found = _ask(ctx, "INSTRUMENTS")
    return [CompletionItem(row["symbol"]) for row in found if row["symbol"].startswith(incomplete)]


def complete_order(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of open orders, the first few."""
    found = _ask(ctx, "ORDER.LIST", "OPEN", "COUNT", ORDERS_SHOWN)
    return [
        CompletionItem(row["cl_ord_id"], help=f"{row['side']} {row['leaves_qty']} {row['symbol']}")
        for row in found
        if row["cl_ord_id"].startswith(incomplete)
    ]


def _ask(ctx: click.Context, *words: str | int) -> list[dict[str, Any]]:
    """The reply, or nothing: the shell has no room for an error."""
    # The callback of the group has not run: the options are there, what it makes of them is not.
    socket: Path | None = ctx.find_root().params.get("socket")
    try:
        with Connection(socket or default_socket(), ANSWER_S) as connection:
            found: list[dict[str, Any]] = connection.call(*words)
            return found
    except CtlError:
        return []
