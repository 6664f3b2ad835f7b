"""The command ``orderctl paths``."""

import time
from contextlib import nullcontext
from typing import Final

import click
from rich.live import Live

from orderd.ctl import output, paths
from orderd.ctl.connection import Connection
from orderd.ctl.options import Options, with_json

INTERVAL_S: Final = 1.0


@click.command(name="paths")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C, with what happened in each second.")
@with_json
@click.pass_obj
def show_paths(options: Options, watch: bool) -> None:
    """How the two roads to the engine do: state, orders by path, losses, round trips, failed calls."""
    console = output.console()
    with options.connect() as connection:
        values, taken = _look(connection), time.monotonic()
        if not watch:
            found = paths.view(values)
            if options.json:
                output.print_json(found)
            else:
                console.print(paths.table(found))
            return
        live = not options.json and console.is_terminal
        with Live(paths.table(paths.view(values)), console=console) if live else nullcontext() as screen:
            while True:
                time.sleep(INTERVAL_S)
                before, taken_before = values, taken
                values, taken = _look(connection), time.monotonic()
                found = paths.view(values, before, taken - taken_before)
                if options.json:
                    output.print_json(found)
                elif screen is not None:
                    screen.update(paths.table(found))
                else:
                    click.echo(paths.line(found))


def _look(connection: Connection) -> dict[str, str]:
    return output.info_values(connection.call("INFO"))
