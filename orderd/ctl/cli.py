"""The command line of orderctl: the group of all commands, and what becomes of their errors.

Exit codes: 0 done; 1 the daemon answered with an error, or the order's outcome is REJECTED or UNKNOWN, or a cancel or
replace came too late; 2 wrong usage; 3 no daemon there, or damage found in a journal. Errors are one line on stderr.
"""

import importlib
from pathlib import Path
from typing import Any, Final

import click

from orderd import __version__
from orderd.ctl.connection import default_socket
from orderd.ctl.errors import CtlError
from orderd.ctl.options import Options

COMMANDS: Final = {
    "submit": "orders_cli:submit",
    "cancel": "orders_cli:cancel",
    "replace": "orders_cli:replace_order",
    "status": "orders_cli:status",
    "wait": "orders_cli:wait",
    "list": "orders_cli:list_orders",
    "masscancel": "orders_cli:masscancel",
    "batch": "batch_cli:batch",
    "instruments": "market_cli:instruments",
    "book": "market_cli:book",
    "executions": "market_cli:executions",
    "info": "admin_cli:info",
    "paths": "paths_cli:show_paths",
    "config": "admin_cli:config",
    "clients": "admin_cli:clients",
    "mode": "admin_cli:mode",
    "reload": "admin_cli:reload",
    "trading": "admin_cli:trading",
    "positions": "admin_cli:positions",
    "journal": "journal_cli:journal",
    "probe": "probe.cli:probe",
    "bench": "bench.cli:bench",
    "replay": "replay.cli:replay",
    "demo": "demo.cli:demo",
    "completion": "completion:completion",
}
"""Where each command is, as ``module:name`` in this package."""


class Group(click.Group):
    """Turns the errors of the package into one line and an exit code.

    A command's module is imported when it is called: most need a small part of what all of them need together, and a
    script may call orderctl for each order.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"orderd.ctl.{module}"), name)
        assert isinstance(command, click.Command) and command.name == cmd_name, COMMANDS[cmd_name]
        return command

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
