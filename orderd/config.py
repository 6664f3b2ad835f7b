"""orderd's settings file: every key with its default, its range, and whether a reload may change it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from orderd.intake.access import ROOT, AccessRules, Members
from orderd.orders.risk.limits import RiskLimits
from orderd.orders.risk.settings import RiskSettings, risk_limits
from orderd.runtime import fields
from orderd.runtime.accounts import NoSuchAccount, gid_of, uid_of
from orderd.runtime.addresses import check_peer_address, parse_address
from orderd.runtime.fields import ABSENT, FieldError
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.runtime.log import LogSettings
from orderd.runtime.places import credential_file, find_config, own_runtime_directory, own_state_directory
from orderd.runtime.settings import load

CONFIG_VARIABLE: Final = "ORDERD_CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/orderd/orderd.toml")

SOCKET_PATH_BYTES_MAX: Final = 107
"""What fits into sockaddr_un with its closing zero (unix(7))."""

DATAGRAM_BYTES_MAX: Final = 65_507
"""The largest payload of UDP over IPv4 (RFC 768, RFC 791)."""

ModeName = Literal["sync", "batch", "fire-and-forget"]
TransportName = Literal["udp-first", "udp-only", "grpc-only"]


def _check_socket(path: str) -> str | None:
    if 1 <= len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return None
    return f"must be a path of 1 to {SOCKET_PATH_BYTES_MAX} bytes"


def _check_mode(text: str) -> str | None:
    return None if re.fullmatch(r"0?[0-7]{3}", text) else 'must be octal digits in quotes, such as "0660"'


@attrs.frozen
class ListenSettings:
    """``[listen]``: where clients connect."""

    socket: str = fields.text("/run/orderd/orderd.sock", _check_socket)
    socket_mode: str = fields.text("0660", _check_mode)
    clients_max: int = fields.integer(1024, 1, 65_536)

    @property
    def socket_mode_bits(self) -> int:
        """:attr:`socket_mode` as chmod takes it."""
        return int(self.socket_mode, 8)


@attrs.frozen
class AccessSettings:
    """``[access]``: which users and @groups, by name or number, have which role; "*" is everybody.

    The names are looked up as the settings are made, so that a reload takes changes of the system over, too.
    """

    admin: tuple[str, ...] = fields.names((), reloadable=True)
    trade: tuple[str, ...] = fields.names(("*",), reloadable=True)
    read: tuple[str, ...] = fields.names(("*",), reloadable=True)
    rules: AccessRules = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        admin = _members("admin", self.admin)
        admin = attrs.evolve(admin, uids=admin.uids | {ROOT, os.geteuid()})
        rules = AccessRules(admin, _members("trade", self.trade), _members("read", self.read))
        object.__setattr__(self, "rules", rules)


def _members(key: str, names: tuple[str, ...]) -> Members:
    users = [name for name in names if name != "*" and not name.startswith("@")]
    groups = [name[1:] for name in names if name.startswith("@")]
    try:
        return Members(frozenset(map(uid_of, users)), frozenset(map(gid_of, groups)), everybody="*" in names)
    except NoSuchAccount as error:
        raise FieldError(key, names, str(error)) from None


@attrs.frozen
class LimitSettings:
    """``[limits]``: what is kept at most."""

    orders_unconfirmed_max: int = fields.integer(1_000_000, 1, 100_000_000)
    orders_remembered_max: int = fields.integer(1_000_000, 1, 100_000_000)
    query_bytes_max: int = fields.integer(1_048_576, 1024, 2**29)
    reply_bytes_max: int = fields.integer(8_388_608, 1024, 2**31)
    client_share_percent: int = fields.integer(25, 1, 100, reloadable=True)
    client_orders_per_second: int = fields.integer(0, 0, 100_000_000, reloadable=True)


@attrs.frozen
class ExecutionSettings:
    """``[executions]``: how many stay readable, and how many of these in memory.

    The others are read from the journal; the backend "memory" has none, and all that are kept are in memory.
    """

    kept: int = fields.integer(2_000_000, 1, 100_000_000)
    in_memory: int = fields.integer(200_000, 1, 100_000_000)


@attrs.frozen
class BatchSettings:
    """``[batch]``: how long orders of mode ``batch`` wait for company."""

    orders_max: int = fields.integer(50, 1, 1_000_000, reloadable=True)
    linger_ms: float = fields.number(1.0, 0, 10_000, reloadable=True)


@attrs.frozen
class EngineSettings:
    """``[engine]``: where the orders go."""

    embedded: bool = fields.boolean(False)
    udp: str = fields.text("127.0.0.1:9001", check_peer_address)
    grpc: str = fields.text("127.0.0.1:50051", check_peer_address)
    transport: TransportName = fields.choice("udp-first", "udp-first", "udp-only", "grpc-only", reloadable=True)
    key_file: str = fields.text("")
    on_state_loss: Literal["halt", "replay"] = fields.choice("halt", "halt", "replay", unsupported=("replay",))

    def __attrs_post_init__(self) -> None:
        if self.embedded or self.key_file:
            return
        for key, address in (("udp", self.udp), ("grpc", self.grpc)):
            if not parse_address(address).is_loopback:
                raise FieldError("key_file", "", f"is required: {key} = {fields.shown(address)} is not loopback")


@attrs.frozen
class UdpSettings:
    """``[udp]``: frames, windows and timers towards the engine."""

    datagram_bytes_max: int = fields.integer(1472, 512, DATAGRAM_BYTES_MAX)
    window_datagrams: int = fields.integer(32, 1, 4096)
    timeout_initial_ms: int = fields.integer(20, 1, 60_000)
    timeout_min_ms: int = fields.integer(5, 1, 60_000)
    retransmits_max: int = fields.integer(4, 0, 100)
    probe_interval_ms: int = fields.integer(250, 1, 60_000)
    report_poll_ms: int = fields.integer(20, 1, 60_000)


@attrs.frozen
class GrpcSettings:
    """``[grpc]``: the path taken when UDP fails."""

    timeout_ms: int = fields.integer(1000, 1, 600_000)


@attrs.frozen
class Settings:
    """The whole file. ``instruments`` is the table made of all ``[[instrument]]``."""

    mode: ModeName = fields.choice("sync", "sync", "batch", "fire-and-forget", reloadable=True)
    shutdown_timeout_ms: int = fields.integer(10_000, 1, 3_600_000)
    reply_timeout_ms: int = fields.integer(5000, 1, 3_600_000, reloadable=True)
    listen: ListenSettings = fields.section(ListenSettings)
    access: AccessSettings = fields.section(AccessSettings)
    limits: LimitSettings = fields.section(LimitSettings)
    executions: ExecutionSettings = fields.section(ExecutionSettings)
    journal: JournalSettings = fields.section(JournalSettings)
    batch: BatchSettings = fields.section(BatchSettings)
    engine: EngineSettings = fields.section(EngineSettings)
    udp: UdpSettings = fields.section(UdpSettings)
    grpc: GrpcSettings = fields.section(GrpcSettings)
    risk: RiskSettings = fields.section(RiskSettings)
    log: LogSettings = fields.section(LogSettings)
    instrument: tuple[Instrument, ...] = ()
    instruments: InstrumentTable = attrs.field(init=False, eq=False, repr=False)
    risk_limits: RiskLimits = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.instrument:
            raise FieldError("instrument", ABSENT, "is missing: without an [[instrument]] table nothing can be traded")
        object.__setattr__(self, "instruments", InstrumentTable(self.instrument))
        try:
            object.__setattr__(self, "risk_limits", risk_limits(self.risk, self.instruments))
        except FieldError as error:
            raise FieldError(f"risk.{error.key}", error.value, error.problem) from None
        # A command is at most one journal record, and records do not cross segments.
        if self.limits.query_bytes_max > self.journal.segment_bytes // 4:
            problem = f"must be at most a quarter of journal.segment_bytes = {self.journal.segment_bytes}"
            raise FieldError("limits.query_bytes_max", self.limits.query_bytes_max, problem)
        # So is what a datagram brings.
        if self.udp.datagram_bytes_max > self.journal.segment_bytes // 2:
            problem = f"must be at most half of journal.segment_bytes = {self.journal.segment_bytes}"
            raise FieldError("udp.datagram_bytes_max", self.udp.datagram_bytes_max, problem)


def _document_without_file(environ: Mapping[str, str]) -> dict[str, Any]:
    state = own_state_directory(environ, "orderd")
    return {
        "listen": {"socket": str(own_runtime_directory(environ, "orderd") / "orderd.sock")},
        "journal": {"directory": str(state / "journal")},
        "engine": {"embedded": True},
        "instrument": [{"symbol": "AAPL", "id": 1, "tick": "0.01", "lot": "1"}],
    }


def default_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """What is in force without a settings file: nothing needs root, the engine is a child process."""
    return SettingsSource(None, (), environ).load()


def load_settings(
    config: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings from ``config``, else the file that the environment names, else the system's, else defaults.

    Raises :class:`orderd.runtime.settings.SettingsError`, whose text is one line.
    """
    return SettingsSource.find(config, overrides, environ).load()


@attrs.frozen
class SettingsSource:
    """Where the settings come from, so that the same can be read again."""

    path: Path | None
    """The settings file; None: there is none, and the defaults are in force."""
    overrides: tuple[str, ...]
    environ: Mapping[str, str]

    @classmethod
    def find(
        cls, config: Path | None = None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ
    ) -> "SettingsSource":
        """``config``, else the file that the environment names, else the system's, else none."""
        path = find_config(config, environ, CONFIG_VARIABLE, SYSTEM_CONFIG)
        return cls(path, tuple(overrides), dict(environ))

    @property
    def place(self) -> str:
        """For people."""
        return "defaults, there is no settings file" if self.path is None else str(self.path)

    def load(self) -> Settings:
        """What is there now. Raises :class:`orderd.runtime.settings.SettingsError`, whose text is one line."""
        credential = credential_file(self.environ)
        return load(
            Settings,
            self.path,
            self.overrides,
            without_file=_document_without_file(self.environ),
            where_empty={"engine.key_file": credential} if credential else {},
        )
