"""Options that all commands of orderctl share."""

from pathlib import Path
from typing import Any

import attrs
import click

from orderd.ctl.connection import Connection


@attrs.frozen
class Options:
    """What stands before the command's name."""

    socket: Path
    timeout_s: float
    json: bool

    def connect(self) -> Connection:
        """A connection to the daemon that the options name."""
        return Connection(self.socket, self.timeout_s)


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    if value:
        ctx.obj = attrs.evolve(ctx.obj, json=True)
    return value


def with_json(command: Any) -> Any:
    """Lets --json stand behind the command's name too."""
    return click.option(
        "--json", is_flag=True, expose_value=False, is_eager=True, callback=_set_json, help="Print JSON for programs."
    )(command)
