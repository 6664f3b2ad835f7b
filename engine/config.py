"""The engine's settings file: every key with its default and its range."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from orderd.runtime import fields
from orderd.runtime.addresses import check_listen_address, parse_address
from orderd.runtime.fields import ABSENT, FieldError
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings, check_directory
from orderd.runtime.log import LogSettings
from orderd.runtime.places import credential_file, find_config, own_state_directory
from orderd.runtime.settings import load

CONFIG_VARIABLE: Final = "ORDERD_ENGINE_CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/orderd/engine.toml")
SEGMENT_BYTES_MIN: Final = 262_144


def _check_timezone(name: str) -> str | None:
    if name == "UTC":  # Known to all, with or without a time zone database.
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 'must be a time zone of this system, such as "UTC" or "Europe/Berlin"'
    return None


@attrs.frozen
class ListenSettings:
    """``[listen]``: where orderd reaches the engine. Port 0 lets the system pick one."""

    udp: str = fields.text("127.0.0.1:9001", check_listen_address)
    grpc: str = fields.text("127.0.0.1:50051", check_listen_address)


@attrs.frozen
class EngineJournalSettings(JournalSettings):
    """``[journal]`` as orderd's, in another directory."""

    directory: str = fields.text("/var/lib/orderd-engine/journal", check_directory)
    # One entry holds what one session sent in a round, up to about 130 kB with the largest datagrams.
    segment_bytes: int = fields.integer(67_108_864, SEGMENT_BYTES_MIN, 2**32)


@attrs.frozen
class SnapshotSettings:
    """``[snapshot]``: after how many orders one is taken; 0 is never."""

    orders: int = fields.only(0)


@attrs.frozen
class LimitSettings:
    """``[limits]``: what is kept at most."""

    sessions_max: int = fields.integer(64, 1, 65_536)
    reports_max: int = fields.integer(4_000_000, 1, 1_000_000_000)


@attrs.frozen
class EngineSettings:
    """The whole file. ``instruments`` is the table made of all ``[[instrument]]``."""

    key_file: str = fields.text("")
    day_end: str = fields.only("")
    day_timezone: str = fields.text("UTC", _check_timezone)
    shutdown_timeout_ms: int = fields.integer(10_000, 1, 3_600_000)
    listen: ListenSettings = fields.section(ListenSettings)
    journal: EngineJournalSettings = fields.section(EngineJournalSettings)
    snapshot: SnapshotSettings = fields.section(SnapshotSettings)
    limits: LimitSettings = fields.section(LimitSettings)
    log: LogSettings = fields.section(LogSettings)
    instrument: tuple[Instrument, ...] = ()
    instruments: InstrumentTable = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.instrument:
            raise FieldError("instrument", ABSENT, "is missing: without an [[instrument]] table nothing can be traded")
        object.__setattr__(self, "instruments", InstrumentTable(self.instrument))
        if self.key_file:
            return
        for key, address in (("listen.udp", self.listen.udp), ("listen.grpc", self.listen.grpc)):
            if not parse_address(address).is_loopback:
                raise FieldError("key_file", "", f"is required: {key} = {fields.shown(address)} is not loopback")


def _document_without_file(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "journal": {"directory": str(own_state_directory(environ, "orderd-engine") / "journal")},
        "instrument": [{"symbol": "AAPL", "id": 1, "tick": "0.01", "lot": "1"}],
    }


def _load(path: Path | None, overrides: Sequence[str], environ: Mapping[str, str]) -> EngineSettings:
    credential = credential_file(environ)
    return load(
        EngineSettings,
        path,
        overrides,
        without_file=_document_without_file(environ),
        where_empty={"key_file": credential} if credential else {},
    )


def default_settings(environ: Mapping[str, str] = os.environ) -> EngineSettings:
    """What is in force without a settings file; nothing needs root."""
    return _load(None, (), environ)


def load_settings(
    config: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> EngineSettings:
    """The settings from ``config``, else the file that the environment names, else the system's, else defaults.

    Raises :class:`orderd.runtime.settings.SettingsError`, whose text is one line.
    """
    path = find_config(config, environ, CONFIG_VARIABLE, SYSTEM_CONFIG)
    return _load(path, overrides, environ)
