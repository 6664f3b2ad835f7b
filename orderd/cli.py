"""The command ``orderd``.

Exit codes: 0 a clean end, 2 a wrong setting or option, or a socket passed in that cannot be used, 3 a journal, key or
engine that cannot be used as it is (a person must look; a restart would not help), 1 anything else.
"""

import signal
from pathlib import Path
from typing import Final

import click

from orderd import __version__, daemon
from orderd.config import Settings, SettingsSource
from orderd.embedded_engine import EmbeddedEngineFailed
from orderd.intake.binding import CannotListen
from orderd.journal import JournalError
from orderd.link.errors import LinkError
from orderd.orders.entries import EntryError
from orderd.orders.errors import InstrumentsChanged, ReportMismatch
from orderd.runtime.activation import ActivationError
from orderd.runtime.keys import KeyFileError, read_key
from orderd.runtime.log import configure_logging
from orderd.runtime.process import fail, run_daemon
from orderd.runtime.settings import SettingsError

PROGRAM: Final = "orderd"
EXIT_CODES: Final[dict[type[BaseException], int]] = {
    JournalError: 3,
    EntryError: 3,
    InstrumentsChanged: 3,
    LinkError: 3,
    ReportMismatch: 3,
    KeyFileError: 3,
    EmbeddedEngineFailed: 3,
    ActivationError: 2,
    CannotListen: 1,
    OSError: 1,
}

CONFIG = click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
SET = click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting.")


@click.group()
@click.version_option(__version__, prog_name=PROGRAM)
def main() -> None:
    """The daemon through which the programs of a host place orders with a matching engine."""


@main.command()
@CONFIG
@SET
def run(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Run until SIGTERM or SIGINT."""
    source = SettingsSource.find(config, overrides)
    settings = _load(source)
    configure_logging(settings.log.format, settings.log.level)
    # Until the daemon listens for it: its settings were read just now, so there is nothing to do.
    signal.signal(signal.SIGHUP, lambda *_: None)
    run_daemon(PROGRAM, lambda: daemon.run(settings, source), EXIT_CODES)


@main.command()
@CONFIG
@SET
def check(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Check the settings without starting."""
    settings = _load(SettingsSource.find(config, overrides))
    click.echo(f"settings are good: mode {settings.mode}, socket {settings.listen.socket}")


def _load(source: SettingsSource) -> Settings:
    try:
        settings = source.load()
        read_key(settings.engine.key_file)
    except (SettingsError, KeyFileError) as error:
        fail(PROGRAM, str(error), 2)
    return settings
