"""The command ``orderd-engine``.

Exit codes: 0 a clean end, 2 a wrong setting or option, 3 a journal or key that cannot be used as it is (a person must
look), 1 anything else.
"""

from pathlib import Path
from typing import Final

import click

from engine import daemon
from engine.config import EngineSettings, EngineSource
from engine.core import InstrumentsChanged
from engine.inputs import InputError
from engine.offline_cli import COMMANDS
from orderd import __version__
from orderd.journal.errors import JournalError
from orderd.runtime.keys import KeyFileError, read_key
from orderd.runtime.log import configure_logging
from orderd.runtime.process import fail, run_daemon
from orderd.runtime.settings import SettingsError

PROGRAM: Final = "orderd-engine"
EXIT_CODES: Final[dict[type[BaseException], int]] = {
    JournalError: 3,
    InputError: 3,
    InstrumentsChanged: 3,
    KeyFileError: 3,
    OSError: 1,
}

CONFIG = click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
SET = click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting.")


@click.group()
@click.version_option(__version__, prog_name=PROGRAM)
def main() -> None:
    """The matching engine at the other end of orderd."""


@main.command()
@CONFIG
@SET
@click.option("--udp-fd", type=int, help="A bound UDP socket inherited from the parent.")
@click.option("--grpc-fd", type=int, help="A bound TCP socket inherited from the parent.")
@click.option("--embedded", is_flag=True, help="Stop when standard input ends; wait for the journal's lock.")
def run(
    config: Path | None, overrides: tuple[str, ...], udp_fd: int | None, grpc_fd: int | None, embedded: bool
) -> None:
    """Run until SIGTERM or SIGINT."""
    source, settings = _load(config, overrides)
    configure_logging(settings.log.format, settings.log.level)
    run_daemon(
        PROGRAM,
        lambda: daemon.run(settings, source, udp_fd=udp_fd, grpc_fd=grpc_fd, embedded=embedded),
        EXIT_CODES,
    )


@main.command()
@CONFIG
@SET
def check(config: Path | None, overrides: tuple[str, ...]) -> None:
    """Check the settings without starting."""
    _, settings = _load(config, overrides)
    listen = settings.listen
    click.echo(
        f"settings are good: {len(settings.instruments)} instruments, UDP on {listen.udp}, gRPC on {listen.grpc}"
    )


for _command in COMMANDS:
    main.add_command(_command)


def _load(config: Path | None, overrides: tuple[str, ...]) -> tuple[EngineSource, EngineSettings]:
    source = EngineSource.find(config, overrides)
    try:
        settings = source.load()
        read_key(settings.key_file)
    except (SettingsError, KeyFileError) as error:
        fail(PROGRAM, str(error), 2)
    return source, settings
