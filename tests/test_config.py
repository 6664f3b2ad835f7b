"""orderd's settings have the documented defaults and ranges, and what is not there yet is refused, not ignored."""

import os
import tomllib
from pathlib import Path

import attrs
import pytest

from orderd import config
from orderd.config import AccessSettings, Settings, SettingsSource, default_settings, load_settings
from orderd.intake.access import Members
from orderd.orders.risk.settings import RiskSettings
from orderd.runtime.fields import FieldError
from orderd.runtime.instruments import Instrument
from orderd.runtime.settings import SettingsError, flatten, is_reloadable

CONFIGS = Path(__file__).parent.parent / "config"
AAPL = Instrument("AAPL", 1, "0.01", "1")
INSTRUMENT = '\n[[instrument]]\nsymbol = "AAPL"\nid = 1\ntick = "0.01"\nlot = "1"\n'

RELOADABLE = {
    "mode", "reply_timeout_ms", "batch.orders_max", "batch.linger_ms", "engine.transport", "access.admin",
    "access.trade", "access.read", "limits.client_share_percent", "limits.client_orders_per_second",
    *(f"risk.{key.name}" for key in attrs.fields(RiskSettings)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_system_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "absent.toml")


def refusal(*overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, overrides, {"HOME": "/home/a"})
    return str(caught.value)


def keys_in(text: str) -> set[str]:
    """The dotted keys of a settings file, whose sections are one deep."""
    document = tomllib.loads(text)
    sections = {name: value for name, value in document.items() if isinstance(value, dict)}
    return (document.keys() - sections.keys()) | {f"{name}.{key}" for name in sections for key in sections[name]}


def test_the_annotated_file_names_every_key_with_its_default() -> None:
    assert load_settings(CONFIGS / "orderd.toml", (), {}) == Settings(instrument=(AAPL,))
    assert keys_in((CONFIGS / "orderd.toml").read_text()) == set(flatten(Settings(instrument=(AAPL,))))


def test_the_annotated_file_marks_the_keys_that_a_reload_may_change() -> None:
    marked, section, comment = set(), "", ""
    for line in (CONFIGS / "orderd.toml").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif line.startswith("#"):
            comment += line
        elif line:
            marked |= {section + line.split()[0]} if "(r)" in comment and "(r):" not in comment else set()
            comment = ""
        else:
            comment = ""
    assert marked == RELOADABLE


def test_only_the_documented_keys_may_change_on_a_reload() -> None:
    assert {key for key in flatten(Settings(instrument=(AAPL,))) if is_reloadable(Settings, key)} == RELOADABLE


@pytest.mark.parametrize("name", ["sync", "batch", "fire-and-forget"])
def test_each_example_is_a_valid_file_of_its_mode(name: str) -> None:
    assert load_settings(CONFIGS / "examples" / f"{name}.toml", (), {}).mode == name


def test_without_a_file_nothing_needs_root_and_the_engine_is_embedded() -> None:
    settings = default_settings({"HOME": "/home/a"})
    assert settings.listen.socket == "/home/a/.local/state/orderd/orderd.sock"
    assert settings.journal.directory == "/home/a/.local/state/orderd/journal"
    assert settings.engine.embedded
    assert settings.instrument == (AAPL,)
    assert settings.instruments.by_symbol[b"AAPL"] == AAPL
    placed = default_settings({"HOME": "/home/a", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"})
    assert placed.listen.socket == "/r/orderd/orderd.sock"
    assert placed.journal.directory == "/s/orderd/journal"
    assert load_settings(None, (), {"HOME": "/home/a"}) == settings


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('mode = "batch"' + INSTRUMENT)
    environ = {"HOME": "/home/a", "ORDERD_CONFIG": str(path)}
    assert load_settings(None, (), environ) == Settings(mode="batch", instrument=(AAPL,))
    with pytest.raises(SettingsError, match="absent: No such file"):
        load_settings(tmp_path / "absent", (), environ)


def test_a_file_without_instruments_is_useless_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("")
    with pytest.raises(SettingsError, match=r"instrument is missing: without an \[\[instrument\]\] table nothing can"):
        load_settings(path, (), {})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.transport=tcp", 'engine.transport = "tcp": must be one of "udp-first", "udp-only", "grpc-only"'),
        ("engine.on_state_loss=replay", 'engine.on_state_loss = "replay": is not supported yet'),
        ("mode=fast", 'mode = "fast": must be one of "sync", "batch", "fire-and-forget"'),
        ("engine.udp=9001", "engine.udp = 9001: must be a string"),
        ("engine.udp=engine", 'engine.udp = "engine": must be host:port, such as 127.0.0.1:9001 or [::1]:9001'),
        ("engine.udp=127.0.0.1:0", 'engine.udp = "127.0.0.1:0": must have a port from 1 to 65535'),
        ("udp.datagram_bytes_max=511", "udp.datagram_bytes_max = 511: must be a whole number from 512 to 65507"),
        ("udp.datagram_bytes_max=65508", "udp.datagram_bytes_max = 65508: must be a whole number from 512 to 65507"),
        ("listen.socket=" + "x" * 108, "listen.socket = "),
        ("listen.socket=''", 'listen.socket = "": must be a path of 1 to 107 bytes'),
        ("listen.socket_mode=rw", 'listen.socket_mode = "rw": must be octal digits in quotes, such as "0660"'),
        ("listen.socket_mode=432", "listen.socket_mode = 432: must be a string"),
        ("journal.directory=''", 'journal.directory = "": must be the path of a directory'),
        ("journal.durability=fsync", 'journal.durability = "fsync": must be one of "commit", "interval", "none"'),
        (
            "limits.query_bytes_max=16777217",
            "limits.query_bytes_max = 16777217: must be at most a quarter of journal.segment_bytes = 67108864",
        ),
        ("access.admin=root", 'access.admin = "root": must be an array of names in quotes'),
        ("access.trade=[7]", "access.trade[0] = 7: must be a string"),
        ("access.trade=['']", 'access.trade = [""]: must be an array of names in quotes'),
        ("access.admin=['root', 'nobdy']", 'access.admin = ["root", "nobdy"]: there is no user nobdy'),
        ("access.read=['@traderz']", 'access.read = ["@traderz"]: there is no group traderz'),
        ("access.read=['@']", 'access.read = ["@"]: there is no group '),
        ("access.read=['9876543210']", 'access.read = ["9876543210"]: 9876543210 is not a number of a user or group'),
        ("log.format=xml", 'log.format = "xml": must be one of "console", "json"'),
    ],
)
def test_what_cannot_be_is_refused(override: str, message: str) -> None:
    assert refusal(override).startswith(f"--set: {message}")


def test_an_instrument_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(INSTRUMENT + INSTRUMENT)
    with pytest.raises(SettingsError, match=r"instrument\[1\]\.id = 1: is used twice"):
        load_settings(path, (), {})


@pytest.mark.parametrize(("key", "address"), [("udp", "10.0.0.7:9001"), ("grpc", "engine.example:50051")])
def test_off_loopback_a_key_is_required(key: str, address: str) -> None:
    apart = ["engine.embedded=false", f"engine.{key}={address}"]
    expected = f'engine.key_file = "": is required: {key} = "{address}" is not loopback'
    assert refusal(*apart).endswith(expected)
    load_settings(None, [*apart, "engine.key_file=/etc/orderd/key"], {"HOME": "/home/a"})
    load_settings(None, [f"engine.{key}={address}"], {"HOME": "/home/a"})


def test_a_credential_is_the_key_where_no_file_is_named(tmp_path: Path) -> None:
    environ = {"HOME": "/home/a", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    apart = ["engine.embedded=false", "engine.udp=10.0.0.7:9001"]
    with pytest.raises(SettingsError, match="engine.key_file"):
        load_settings(None, apart, environ)
    (tmp_path / "orderd.key").touch()
    assert load_settings(None, apart, environ).engine.key_file == str(tmp_path / "orderd.key")
    assert load_settings(None, [*apart, "engine.key_file=/k"], environ).engine.key_file == "/k"
    path = tmp_path / "a.toml"
    for text in ('[engine]\nkey_file = ""' + INSTRUMENT, INSTRUMENT):
        path.write_text(text)
        assert load_settings(path, apart, environ).engine.key_file == str(tmp_path / "orderd.key")
    assert default_settings(environ).engine.key_file == str(tmp_path / "orderd.key")
    for nonsense in ("engine=5", "engine.key_file=5"):
        with pytest.raises(SettingsError, match=r"must be a (table|string)"):
            load_settings(None, [nonsense], environ)


def test_a_unit_of_systemd_without_a_file_keeps_to_its_own_directories(tmp_path: Path) -> None:
    environ = {"HOME": "/home/a", "XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/orderd:/b"}
    environ |= {"RUNTIME_DIRECTORY": "/run/orderd"}
    settings = load_settings(None, (), environ)
    assert settings.journal.directory == "/var/lib/orderd/journal"
    assert settings.listen.socket == "/run/orderd/orderd.sock"
    path = tmp_path / "a.toml"
    path.write_text('[journal]\ndirectory = "/mine"\n[listen]\nsocket = "/s"' + INSTRUMENT)
    settings = load_settings(path, (), environ)
    assert (settings.journal.directory, settings.listen.socket) == ("/mine", "/s")


def test_access_is_by_users_and_groups_and_root_and_the_daemon_itself_are_always_admin() -> None:
    rules = load_settings(
        None, ["access.admin=['@0', '1234']", "access.trade=['root', '@4321']"], {"HOME": "/home/a"}
    ).access.rules
    assert rules.admin == Members(frozenset({0, os.geteuid(), 1234}), frozenset({0}))
    assert rules.trade == Members(frozenset({0}), frozenset({4321}))
    assert rules.read == Members(everybody=True)
    assert AccessSettings(read=("*", "root")).rules.read.everybody


def test_a_source_reads_the_same_file_again_with_the_same_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('mode = "batch"' + INSTRUMENT)
    source = SettingsSource.find(path, ["batch.linger_ms=7"], {"HOME": "/home/a"})
    assert source.place == str(path)
    assert (source.load().mode, source.load().batch.linger_ms) == ("batch", 7)
    path.write_text('mode = "sync"\n[batch]\nlinger_ms = 1' + INSTRUMENT)
    assert (source.load().mode, source.load().batch.linger_ms) == ("sync", 7)
    path.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        source.load()
    without = SettingsSource.find(None, (), {"HOME": "/home/a"})
    assert without.place == "defaults, there is no settings file"
    assert without.load() == default_settings({"HOME": "/home/a"})


def test_the_socket_mode_is_octal() -> None:
    assert Settings(instrument=(AAPL,)).listen.socket_mode_bits == 0o660
    assert load_settings(None, ["listen.socket_mode='600'"], {"HOME": "/"}).listen.socket_mode_bits == 0o600


def test_a_group_of_orders_always_fits_a_journal_segment() -> None:
    settings = Settings(instrument=(AAPL,))
    with pytest.raises(FieldError, match="a quarter of journal"):
        attrs.evolve(settings, journal=attrs.evolve(settings.journal, segment_bytes=4096))
