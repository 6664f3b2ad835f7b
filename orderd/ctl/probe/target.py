"""What a probing is aimed at: from the command line, else from a settings file, else from the daemon that runs."""

import os
from pathlib import Path
from typing import Any, Final

import attrs

from orderd.config import Settings, load_settings
from orderd.ctl.connection import Connection
from orderd.ctl.errors import InputError, ReplyError, Unreachable
from orderd.ctl.options import Options
from orderd.ctl.output import info_values
from orderd.runtime.addresses import Address, check_peer_address, parse_address
from orderd.runtime.keys import KeyFileError, read_key
from orderd.runtime.settings import SettingsError

DATAGRAM_BYTES_DEFAULT: Final = 1472
CREDENTIALS: Final = Path("/run/credentials")
_SETTINGS: Final = ("engine.*", "journal.directory", "udp.datagram_bytes_max")


@attrs.frozen
class Target:
    """``secret`` is empty without a key; ``size`` is the site's ``udp.datagram_bytes_max``."""

    udp: Address
    grpc: Address | None
    secret: bytes = attrs.field(repr=False)
    key_file: str
    size: int


@attrs.frozen
class _Site:
    """What the settings of a daemon say; addresses empty where they do not."""

    udp: str = ""
    grpc: str = ""
    key_file: str = ""
    size: int = DATAGRAM_BYTES_DEFAULT


def find_target(
    options: Options, *, udp: str | None, grpc: str | None, key_file: str | None, config: Path | None
) -> Target:
    """What was given counts before what is known of the site; an empty ``key_file`` is none.

    The site's gRPC address goes with its UDP address: of another engine it would tell nothing.
    Raises :class:`~orderd.ctl.errors.InputError`, :class:`~orderd.ctl.errors.Unreachable`, and
    :class:`~orderd.ctl.errors.ReplyError`.
    """
    if config is not None:
        site = _of_file(config, options, running=udp is None)
    else:
        try:
            site = _of_daemon(options)
        except (Unreachable, ReplyError) as error:
            if udp is None:
                raise type(error)(f"{error}; without a daemon to ask give --udp or --config") from None
            site = _Site()
    if not (udp or site.udp):
        raise InputError("the daemon does not tell where its embedded engine listens; give --udp")
    key = key_file if key_file is not None else site.key_file
    if grpc is None and udp in (None, site.udp):
        grpc = site.grpc
    return Target(
        udp=_address("--udp", udp or site.udp),
        grpc=_address("--grpc", grpc) if grpc else None,
        secret=_secret(key),
        key_file=key,
        size=site.size,
    )


def _of_daemon(options: Options) -> _Site:
    with options.connect() as connection:
        settings = connection.call("CONFIG", "GET", *_SETTINGS)
        addresses = _in_use(connection)
    embedded = _truth(settings["engine.embedded"])
    udp, grpc = (addresses.get(f"engine_{road}", "") for road in ("udp", "grpc"))
    if not embedded:
        udp, grpc = udp or settings["engine.udp"], grpc or settings["engine.grpc"]
    key = _embedded_key(settings["journal.directory"]) if embedded else settings["engine.key_file"]
    return _Site(udp, grpc, key, int(settings["udp.datagram_bytes_max"]))


def _in_use(connection: Connection) -> dict[str, str]:
    return info_values(connection.call("INFO", "transport"))


def _of_file(config: Path, options: Options, *, running: bool) -> _Site:
    try:
        settings: Settings = load_settings(config)
    except SettingsError as error:
        raise InputError(str(error)) from None
    engine, size = settings.engine, settings.udp.datagram_bytes_max
    if not engine.embedded:
        return _Site(engine.udp, engine.grpc, engine.key_file, size)
    addresses: dict[str, str] = {}
    if running:
        # Only the daemon knows the ports that it has picked for its engine.
        with attrs.evolve(options, socket=Path(settings.listen.socket)).connect() as connection:
            addresses = _in_use(connection)
    key = _embedded_key(settings.journal.directory)
    return _Site(addresses.get("engine_udp", ""), addresses.get("engine_grpc", ""), key, size)


def _embedded_key(journal_directory: str) -> str:
    return str(Path(journal_directory).parent / "engine" / "key")


def _truth(value: Any) -> bool:
    return str(value).lower() in ("true", "yes", "1")


def _address(option: str, text: str) -> Address:
    problem = check_peer_address(text)
    if problem is not None:
        raise InputError(f"{option} {text}: {problem}")
    return parse_address(text)


def _secret(key_file: str) -> bytes:
    directory = Path(key_file).parent
    # The credentials of a unit (systemd.exec(5)) are read here by an administrator, outside of that unit.
    of_unit = directory.parent == CREDENTIALS
    try:
        return read_key(key_file, {"CREDENTIALS_DIRECTORY": str(directory)} if of_unit else os.environ)
    except KeyFileError as error:
        raise InputError(f"the key cannot be read: {error}; be the user of orderd, or give --key-file") from None
