"""The engine's settings file: every key with its default and its range."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from engine.day_end import DayEnd, time_of_day
from engine.markets import MarketRules
from orderd.runtime import fields
from orderd.runtime.addresses import check_listen_address, parse_address
from orderd.runtime.decimals import DecimalError
from orderd.runtime.fields import ABSENT, RELOADABLE, FieldError
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings, check_directory
from orderd.runtime.log import LogSettings
from orderd.runtime.places import credential_file, find_config, own_state_directory
from orderd.runtime.settings import load

CONFIG_VARIABLE: Final = "ORDERD_ENGINE_CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/orderd/engine.toml")
SEGMENT_BYTES_MIN: Final = 262_144


def _zone(name: str) -> tzinfo:
    """Raises ZoneInfoNotFoundError, ValueError, OSError."""
    return UTC if name == "UTC" else ZoneInfo(name)  # UTC is known to all, with or without a time zone database.


def _check_timezone(name: str) -> str | None:
    try:
        _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 'must be a time zone of this system, such as "UTC" or "Europe/Berlin"'
    return None


def _check_day_end(text: str) -> str | None:
    try:
        if text:
            time_of_day(text)
    except ValueError:
        return 'must be a time of day, "00:00" to "23:59", or empty for none'
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
    """``[snapshot]``: after how many order records one is made; 0 is never."""

    orders: int = fields.integer(1_000_000, 0, 1_000_000_000_000)


@attrs.frozen
class LimitSettings:
    """``[limits]``: what is kept at most."""

    sessions_max: int = fields.integer(64, 1, 65_536)
    reports_max: int = fields.integer(4_000_000, 1, 1_000_000_000)


@attrs.frozen
class Market:
    """One ``[[market]]`` table: what the market of an instrument allows."""

    symbol: str
    halted: bool = False
    price_low: str = ""
    """Decimal text in the instrument's tick, still allowed; empty is no limit."""
    price_high: str = ""

    def rules_for(self, instrument: Instrument) -> MarketRules:
        """The same in ticks. Raises :class:`FieldError`."""
        low, high = (self._ticks(key, instrument) for key in ("price_low", "price_high"))
        if high and low > high:
            raise FieldError("price_high", self.price_high, f"is below price_low = {fields.shown(self.price_low)}")
        return MarketRules(self.halted, low, high)

    def _ticks(self, key: str, instrument: Instrument) -> int:
        text: str = getattr(self, key)
        try:
            return instrument.parse_price(text.encode()) if text else 0
        except DecimalError as error:
            raise FieldError(key, text, str(error)) from None


def _rules_of(markets: Sequence[Market], instruments: InstrumentTable) -> dict[int, MarketRules]:
    """Raises :class:`FieldError`."""
    rules: dict[int, MarketRules] = {}
    for index, market in enumerate(markets):
        instrument = instruments.by_symbol.get(market.symbol.encode())
        if instrument is None:
            raise FieldError(f"market[{index}].symbol", market.symbol, "is the symbol of no [[instrument]]")
        if instrument.id in rules:
            raise FieldError(f"market[{index}].symbol", market.symbol, "is used twice; an instrument has one market")
        try:
            rules[instrument.id] = market.rules_for(instrument)
        except FieldError as error:
            raise FieldError(f"market[{index}].{error.key}", error.value, error.problem) from None
    return rules


@attrs.frozen
class EngineSettings:
    """The whole file. ``instruments`` is the table made of all ``[[instrument]]``, ``markets`` the rules by instrument
    made of all ``[[market]]``."""

    key_file: str = fields.text("")
    day_end: str = fields.text("", _check_day_end)
    day_timezone: str = fields.text("UTC", _check_timezone)
    shutdown_timeout_ms: int = fields.integer(10_000, 1, 3_600_000)
    listen: ListenSettings = fields.section(ListenSettings)
    journal: EngineJournalSettings = fields.section(EngineJournalSettings)
    snapshot: SnapshotSettings = fields.section(SnapshotSettings)
    limits: LimitSettings = fields.section(LimitSettings)
    log: LogSettings = fields.section(LogSettings)
    instrument: tuple[Instrument, ...] = ()
    market: tuple[Market, ...] = attrs.field(default=(), metadata={RELOADABLE: True})
    instruments: InstrumentTable = attrs.field(init=False, eq=False, repr=False)
    markets: Mapping[int, MarketRules] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.instrument:
            raise FieldError("instrument", ABSENT, "is missing: without an [[instrument]] table nothing can be traded")
        object.__setattr__(self, "instruments", InstrumentTable(self.instrument))
        object.__setattr__(self, "markets", _rules_of(self.market, self.instruments))
        if self.key_file:
            return
        for key, address in (("listen.udp", self.listen.udp), ("listen.grpc", self.listen.grpc)):
            if not parse_address(address).is_loopback:
                raise FieldError("key_file", "", f"is required: {key} = {fields.shown(address)} is not loopback")

    @property
    def end_of_day(self) -> DayEnd | None:
        """``day_end`` by the clock of ``day_timezone``; None if days do not end."""
        return DayEnd(time_of_day(self.day_end), _zone(self.day_timezone)) if self.day_end else None


def _document_without_file(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "journal": {"directory": str(own_state_directory(environ, "orderd-engine") / "journal")},
        "instrument": [{"symbol": "AAPL", "id": 1, "tick": "0.01", "lot": "1"}],
    }


@attrs.frozen
class EngineSource:
    """Where the settings come from, so that the same can be read again."""

    path: Path | None
    """The settings file; None: there is none, and the defaults are in force."""
    overrides: tuple[str, ...]
    environ: Mapping[str, str]

    @classmethod
    def find(
        cls, config: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
    ) -> "EngineSource":
        """``config``, else the file that the environment names, else the system's, else none."""
        path = find_config(config, environ, CONFIG_VARIABLE, SYSTEM_CONFIG)
        return cls(path, tuple(overrides), dict(environ))

    @property
    def place(self) -> str:
        """For people."""
        return "defaults, there is no settings file" if self.path is None else str(self.path)

    def load(self) -> EngineSettings:
        """What is there now. Raises :class:`orderd.runtime.settings.SettingsError`, whose text is one line."""
        credential = credential_file(self.environ)
        return load(
            EngineSettings,
            self.path,
            self.overrides,
            without_file=_document_without_file(self.environ),
            where_empty={"key_file": credential} if credential else {},
        )


def default_settings(environ: Mapping[str, str] = os.environ) -> EngineSettings:
    """What is in force without a settings file; nothing needs root."""
    return EngineSource(None, (), environ).load()


def load_settings(
    config: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> EngineSettings:
    """The settings from ``config``, else the file that the environment names, else the system's, else defaults.

    Raises :class:`orderd.runtime.settings.SettingsError`, whose text is one line.
    """
    return EngineSource.find(config, overrides, environ).load()
