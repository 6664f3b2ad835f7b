"""The engine's settings have the documented defaults, and its journal is never orderd's by mistake."""

import re
import tomllib
from datetime import UTC, time
from pathlib import Path
from zoneinfo import ZoneInfo

import attrs
import pytest

from engine import config
from engine.config import EngineSettings, Market, default_settings, load_settings
from engine.day_end import DayEnd
from engine.markets import OPEN_MARKET, MarketRules
from orderd.runtime.instruments import Instrument
from orderd.runtime.settings import SettingsError, flatten, is_reloadable

CONFIGS = Path(__file__).parent.parent / "config"
AAPL = Instrument("AAPL", 1, "0.01", "1")


@pytest.fixture(autouse=True)
def no_system_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "absent.toml")


def refusal(*overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, overrides, {"HOME": "/home/a"})
    return str(caught.value)


def uncommented_market() -> str:
    """The annotated file with its example of a market in force."""
    before, heading, example = (CONFIGS / "engine.toml").read_text().partition("# [[market]]\n")
    assert heading
    return before + "[[market]]\n" + re.sub(r"^# (\w+ = )", r"\1", example, flags=re.MULTILINE)


def test_the_annotated_file_names_every_key_with_its_default() -> None:
    assert load_settings(CONFIGS / "engine.toml", (), {}) == EngineSettings(instrument=(AAPL,))
    document = tomllib.loads(uncommented_market())
    sections = {name: value for name, value in document.items() if isinstance(value, dict)}
    keys = (document.keys() - sections.keys()) | {f"{name}.{key}" for name in sections for key in sections[name]}
    assert keys == set(flatten(EngineSettings(instrument=(AAPL,))))


def test_the_table_of_a_market_in_the_annotated_file_names_every_key_with_its_default() -> None:
    (table,) = tomllib.loads(uncommented_market())["market"]
    assert table == attrs.asdict(Market("AAPL"))


def test_only_markets_may_change_on_a_reload() -> None:
    keys = flatten(EngineSettings(instrument=(AAPL,)))
    assert [key for key in keys if is_reloadable(EngineSettings, key)] == ["market"]
    marked = [line for line in (CONFIGS / "engine.toml").read_text().splitlines() if line.startswith("# (r) ")]
    assert len(marked) == 1 and "market" in marked[0]


def test_without_a_file_nothing_needs_root() -> None:
    settings = default_settings({"HOME": "/home/a"})
    assert settings.journal.directory == "/home/a/.local/state/orderd-engine/journal"
    assert settings.listen.udp == "127.0.0.1:9001"
    assert settings.instruments.by_id[1] == AAPL
    assert load_settings(None, (), {"HOME": "/home/a"}) == settings


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    environ = {"ORDERD_ENGINE_CONFIG": str(tmp_path / "absent"), "ORDERD_CONFIG": "/other"}
    with pytest.raises(SettingsError, match=f"^{tmp_path}/absent: No such file"):
        load_settings(None, (), environ)


def test_its_journal_stays_in_its_own_directory_when_other_journal_keys_are_set(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[journal]\ndurability = "none"\n[[instrument]]\nsymbol = "A"\nid = 1\ntick = "1"\nlot = "1"\n')
    assert load_settings(path, (), {}).journal.directory == "/var/lib/orderd-engine/journal"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("day_end=25:00", 'day_end = "25:00": must be a time of day, "00:00" to "23:59", or empty for none'),
        ("day_end=1700", "day_end = 1700: must be a string"),
        ("market=[{symbol='MSFT'}]", 'market[0].symbol = "MSFT": is the symbol of no [[instrument]]'),
        ("market=[{symbol='AAPL'}, {symbol='AAPL'}]", 'market[1].symbol = "AAPL": is used twice'),
        ("market=[{symbol='AAPL', halted=1}]", "market[0].halted = 1: must be true or false"),
        ("market=[{symbol='AAPL', price_low=1}]", "market[0].price_low = 1: must be a string"),
        ("market=[{symbol='AAPL', price_low='1.005'}]", 'market[0].price_low = "1.005": '),
        ("market=[{symbol='AAPL', price_high='-1'}]", 'market[0].price_high = "-1": '),
        ("market=[{symbol='AAPL', price_low='2', price_high='1.99'}]", 'market[0].price_high = "1.99": is below '),
        ("market=[{price_low='2'}]", "market[0].symbol is missing"),
        ("market=[{symbol='AAPL', x=1}]", "market[0].x = 1: unknown key; known here: symbol, halted, "),
        ("snapshot.orders=-1", "snapshot.orders = -1: must be a whole number from 0 to "),
        ("day_timezone=Mars/Base", 'day_timezone = "Mars/Base": must be a time zone'),
        ("day_timezone=../../etc/passwd", "day_timezone = "),
        ("listen.udp=9001", "listen.udp = 9001: must be a string"),
        ("listen.grpc=x", 'listen.grpc = "x": must be host:port'),
        ("limits.sessions_max=0", "limits.sessions_max = 0: must be a whole number from 1 to 65536"),
        ("instrument=[]", "instrument is missing: without an [[instrument]] table nothing can be traded"),
        ("mode=sync", 'mode = "sync": unknown key; known here: key_file, day_end,'),
    ],
)
def test_what_cannot_be_is_refused(override: str, message: str) -> None:
    assert refusal(override).startswith(f"--set: {message}")


@pytest.mark.parametrize("address", ["0.0.0.0:9001", "[::]:9001", "10.0.0.7:9001"])
@pytest.mark.parametrize("key", ["udp", "grpc"])
def test_listening_off_loopback_takes_a_key(key: str, address: str) -> None:
    expected = f'key_file = "": is required: listen.{key} = "{address}" is not loopback'
    assert refusal(f"listen.{key}={address}").endswith(expected)
    load_settings(None, [f"listen.{key}={address}", "key_file=/etc/orderd/key"], {"HOME": "/home/a"})


def test_markets_are_rules_by_instrument_in_ticks() -> None:
    value = "market=[{symbol='AAPL', halted=true, price_low='0.01', price_high='200'}]"
    settings = load_settings(None, [value], {"HOME": "/home/a"})
    assert settings.markets == {1: MarketRules(True, 1, 20_000)}
    assert load_settings(None, ["market=[{symbol='AAPL'}]"], {"HOME": "/home/a"}).markets == {1: OPEN_MARKET}
    assert default_settings({"HOME": "/home/a"}).markets == {}


def test_a_day_end_is_a_local_time() -> None:
    overrides = ["day_end=17:00", "day_timezone=Europe/Berlin"]
    day_end = load_settings(None, overrides, {"HOME": "/home/a"}).end_of_day
    assert day_end == DayEnd(time(17, 0), ZoneInfo("Europe/Berlin"))
    assert load_settings(None, ["day_end=00:00"], {"HOME": "/home/a"}).end_of_day == DayEnd(time(0), UTC)
    assert default_settings({"HOME": "/home/a"}).end_of_day is None


def test_the_system_may_pick_the_ports() -> None:
    settings = load_settings(None, ["listen.udp=127.0.0.1:0", "listen.grpc=[::1]:0"], {"HOME": "/home/a"})
    assert settings.listen.grpc == "[::1]:0"


def test_a_credential_is_the_key_where_no_file_is_named(tmp_path: Path) -> None:
    environ = {"HOME": "/home/a", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    with pytest.raises(SettingsError, match="key_file"):
        load_settings(None, ["listen.udp=0.0.0.0:9001"], environ)
    (tmp_path / "orderd.key").touch()
    assert load_settings(None, ["listen.udp=0.0.0.0:9001"], environ).key_file == str(tmp_path / "orderd.key")
    assert load_settings(None, ["key_file=/k"], environ).key_file == "/k"


def test_a_unit_of_systemd_without_a_file_keeps_to_its_own_directory() -> None:
    environ = {"HOME": "/home/a", "STATE_DIRECTORY": "/var/lib/orderd-engine"}
    assert load_settings(None, (), environ).journal.directory == "/var/lib/orderd-engine/journal"
