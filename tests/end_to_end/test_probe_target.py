"""`orderctl probe` finds engine, key and sizes by itself: from the daemon that runs, or from its settings."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.cli import main
from tests.support.needs import missing
from tests.support.other_user import NOBODY, open_directory
from tests.support.processes import Site, instruments_text

FAST = ("--count", "20", "--burst", "0", "--timeout", "3")
Probe = Callable[..., Result]


def probe(*words: str, socket: Path = Path("/nowhere")) -> Result:
    return CliRunner().invoke(main, ["--socket", str(socket), "probe", *FAST, *words])


def write_key(directory: Path) -> Path:
    path = directory / "key"
    path.write_text("5a" * 32)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both daemons, with a key and smaller datagrams."""
    directory = tmp_path_factory.mktemp("site")
    key = str(write_key(directory))
    orderd = {"engine.key_file": key, "udp.datagram_bytes_max": 1000}
    site = Site(directory, orderd=orderd, engine={"key_file": key})
    try:
        yield site.start()
    finally:
        site.close()


def test_all_comes_from_the_daemon_that_runs(site: Site) -> None:
    result = probe("--json", socket=site.socket_path)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["fault"], found["udp"]) == ("good", f"127.0.0.1:{site.engine_port}")
    assert found["grpc"] == str(site.grpc_address)
    assert found["key_file"] == str(site.directory / "key")
    assert found["sizes"]["wanted"] == found["paced"]["size"] == 1000


def test_the_session_of_the_daemon_is_not_touched(site: Site) -> None:
    with site.client() as client:
        before = client.info()
        assert probe("--burst", "2000", socket=site.socket_path).exit_code == 0
        after = client.info()
        assert client.call("ORDER.NEW", "after-probe", "AAPL", "BUY", 1, "LIMIT", "1.00")["status"] == "NEW"
    for key in ("transport_state", "transport_changes_total", "engine_boot", "udp_datagrams_rejected_total"):
        assert after[key] == before[key], key


def test_what_is_given_counts_before_what_the_daemon_says(site: Site) -> None:
    result = probe("--json", "--key-file", "", "--timeout", "0.3", socket=site.socket_path)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["fault"], found["sizes"]) == (1, "wrong-key", None)
    # What another address answers over UDP is not held against this engine's gRPC.
    found = json.loads(probe("--json", "--udp", "127.0.0.2:9", socket=site.socket_path).stdout)
    assert (found["fault"], found["grpc"]) == ("closed", "")


def test_a_settings_file_serves_as_well(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "orderd.toml"
    engine = f'[engine]\nudp = "127.0.0.1:{site.engine_port}"\nkey_file = "{site.directory / "key"}"\n'
    config.write_text(engine + "[udp]\ndatagram_bytes_max = 700\n" + instruments_text())
    result = probe("--config", str(config))
    assert result.exit_code == 0, result.output
    assert "20 of 20 probes of 700 bytes answered" in result.stdout
    config.write_text("[engine]\nudp = 9001\n")
    result = probe("--config", str(config))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "engine.udp" in result.stderr


def test_an_embedded_engine_is_found_with_its_own_key(tmp_path: Path) -> None:
    site = Site(tmp_path, orderd={"engine.embedded": True})
    config = tmp_path / "embedded.toml"
    lines = f'[listen]\nsocket = "{site.socket_path}"\n[journal]\ndirectory = "{tmp_path / "oj"}"\n'
    config.write_text(lines + "[engine]\nembedded = true\n" + instruments_text())
    try:
        site.start_orderd()
        site.wait_connected()
        for words in ((), ("--config", str(config))):
            result = probe("--json", *words, socket=site.socket_path)
            assert result.exit_code == 0, result.output
            assert json.loads(result.stdout)["key_file"] == str(tmp_path / "engine" / "key")
    finally:
        site.close()


def test_without_a_daemon_or_an_address_nothing_is_probed() -> None:
    result = probe()
    assert result.exit_code == 3
    assert "without a daemon to ask give --udp or --config" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--udp", "nonsense"), "--udp nonsense: must be host:port"),
        (("--udp", "127.0.0.1:0"), "must have a port"),
        (("--udp", "127.0.0.1:9", "--grpc", "x"), "--grpc x: must be host:port"),
        (("--udp", "127.0.0.1:9", "--key-file", "/nowhere/key"), "the key cannot be read: /nowhere/key: No such file"),
        (("--size", "111"), "--size"),
        (("--config", "/nowhere/orderd.toml"), "/nowhere/orderd.toml"),
    ],
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...], text: str) -> None:
    result = probe(*words)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_key_that_only_others_may_read_is_told_as_such() -> None:
    if os.geteuid() != 0:
        missing("only root can become somebody else")
    with open_directory() as directory:
        key = write_key(directory)
        os.seteuid(NOBODY)
        try:
            result = probe("--udp", "127.0.0.1:9", "--key-file", str(key))
        finally:
            os.seteuid(0)
    assert result.exit_code == 2
    assert "Permission denied; be the user of orderd, or give --key-file" in result.stderr
