"""Commands of orderctl that look after the daemon: counters, settings, clients, mode, trading state, positions."""

from typing import Final

import click

from orderd.ctl import output
from orderd.ctl.completion import complete_symbol
from orderd.ctl.options import Options, with_json
from orderd.ctl.orders_cli import MODES

ACCOUNT: Final = click.IntRange(0, 65_535)
TRADING_STATES: Final = click.Choice(["ACTIVE", "REDUCING", "HALTED"], case_sensitive=False)


@click.command()
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


@click.command()
@click.argument("pattern", default="*")
@with_json
@click.pass_obj
def config(options: Options, pattern: str) -> None:
    """Settings in force whose dotted key fits PATTERN, with * and ?. With --json one object."""
    with options.connect() as connection:
        found = connection.call("CONFIG", "GET", pattern)
    if options.json:
        output.print_json(found)
    else:
        output.console().print(output.pairs_table(found))


@click.command()
@with_json
@click.pass_obj
def clients(options: Options) -> None:
    """Who is connected. With --json one object a line."""
    with options.connect() as connection:
        text = connection.call("CLIENT", "LIST")
    found = [_client(line) for line in text.splitlines() if line]
    if options.json:
        for client in found:
            output.print_json(client)
        return
    names = dict.fromkeys(name for client in found for name in client)
    output.console().print(output.rows_table([(name, "left") for name in names], found))


def _client(line: str) -> dict[str, str]:
    """``name=value name=value``; a word without ``=`` belongs to the value before it."""
    found: dict[str, str] = {}
    name = ""
    for word in line.split(" "):
        if "=" in word:
            name, _, value = word.partition("=")
            found[name] = value
        elif name:
            found[name] += f" {word}"
    return found


@click.command()
@click.argument("mode", required=False, type=MODES)
@with_json
@click.pass_obj
def mode(options: Options, mode: str | None) -> None:
    """The mode in force; with MODE it is changed, until the next reload or restart."""
    with options.connect() as connection:
        if mode is not None:
            connection.call("MODE", mode)
        current = connection.call("MODE")
    _show_one(options, "mode", current)


@click.command()
@with_json
@click.pass_obj
def reload(options: Options) -> None:
    """Have the daemon read its settings again. What cannot be taken over leaves all as it was and is told."""
    with options.connect() as connection:
        answer = connection.call("CONFIG", "RELOAD")
    _show_one(options, "reload", answer)


@click.command()
@click.option("--account", type=ACCOUNT, help="Of this account alone.")
@click.option("--symbol", shell_complete=complete_symbol, help="In this instrument alone.")
@click.option("--count", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@with_json
@click.pass_obj
def positions(options: Options, account: int | None, symbol: str | None, count: int) -> None:
    """What accounts hold and have open, by instrument. With --json one object a line."""
    words: list[str | int] = ["COUNT", count]
    words += [] if account is None else ["ACCOUNT", account]
    words += [] if symbol is None else ["SYMBOL", symbol]
    with options.connect() as connection:
        found = connection.call("POSITIONS", *words)
    if options.json:
        for position in found:
            output.print_json(position)
    else:
        names = ("net", "open_buy", "open_sell", "last_px")
        columns = [("account", "right"), ("symbol", "left"), *((name, "right") for name in names)]
        output.console().print(output.rows_table(columns, found))


@click.command()
@click.argument("state", required=False, type=TRADING_STATES)
@click.option("--account", type=ACCOUNT, help="Of this account alone.")
@with_json
@click.pass_obj
def trading(options: Options, state: str | None, account: int | None) -> None:
    """Whether new orders are taken; with STATE that is changed, for all or for one account.

    HALTED refuses them, REDUCING all that does not make a position smaller; cancels always pass. For an account the
    stricter one of its state and that of all holds.
    """
    about: list[str | int] = [] if account is None else ["ACCOUNT", account]
    with options.connect() as connection:
        if state is not None:
            connection.call("TRADING", state.upper(), *about)
        current = connection.call("TRADING", *about)
    _show_one(options, "trading", current)


def _show_one(options: Options, name: str, value: object) -> None:
    if options.json:
        output.print_json({name: value})
    else:
        click.echo(value)
