"""Settings change under load: by signal and by command, whole or not at all, and no order is lost or overtaken."""

import os
import re
import signal
from pathlib import Path
from typing import Any, Final

import attrs

from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.processes import Process, Site, instruments_text, wait_until
from tests.support.resp_client import RespClient, RespError, pack

RELOADS: Final = 100
TRANSPORTS: Final = ("udp-first", "grpc-only", "udp-only")
MODES: Final = ("sync", "batch", "fire-and-forget")
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")


class PlainLoad(Load):
    """Orders without a mode of their own: that of the daemon counts. Replies must keep the order of the requests."""

    def _next(self) -> Any:
        sent = super()._next()
        assert sent.words[-2] == "MODE"
        return attrs.evolve(sent, words=sent.words[:-2])

    def _note(self, command: Any, reply: Any) -> None:
        if not isinstance(reply, RespError):
            about = reply.get("cl_ord_id", reply.get("batch_id"))
            if about != command.words[1]:
                self.problems.append(f"{command.words} was answered with {reply}")
        super()._note(command, reply)


def write(site: Site, text: str) -> None:
    """As an editor or a package manager does: the file is there whole, or not at all."""
    new = site.instruments_path.with_suffix(".new")
    new.write_text(text + instruments_text())
    new.replace(site.instruments_path)


def reload(site: Site) -> str:
    """SIGHUP; the line of the log that it leads to."""
    line = re.compile(r"^.*(?:settings changed|settings are as before|reload refused).*\n", re.MULTILINE)
    seen = len(line.findall(site.orderd.log))
    site.orderd.popen.send_signal(signal.SIGHUP)

    def lines() -> list[str]:
        return line.findall(site.orderd.log)[seen:]

    (found,) = wait_until(lines, "the log tells of the reload")
    return str(found)


def test_a_hundred_reloads_under_load_lose_double_and_reorder_nothing(site: Site) -> None:
    loads: list[Load] = [PlainLoad(site.socket_path, number) for number in range(2)]
    for load in loads:
        load.start()
    wait_for_progress(loads, wait_until)
    mode, changed = "sync", 0
    with site.client() as client:
        for number in range(1, RELOADS + 1):
            if number % 10 == 0:
                write(site, 'mode = "nonsense"\n')
                line = reload(site)
                assert "reload refused" in line and "nonsense" in line and "must be one of" in line
            elif number % 10 == 5:
                write(site, f'mode = "batch"\n[listen]\nclients_max = {number}\n')
                assert f"listen.clients_max is 1024 and cannot become {number} without a restart" in reload(site)
            else:
                old, mode = mode, MODES[number % 3]
                linger_ms, orders_max = (0, 0.5, 5)[number % 7 % 3], 1 + number % 60
                transport = TRANSPORTS[number // 8 % 3]
                write(
                    site,
                    f'mode = "{mode}"\n[batch]\nlinger_ms = {linger_ms}\norders_max = {orders_max}\n'
                    f'[engine]\ntransport = "{transport}"\n',
                )
                line = reload(site)
                assert "by=SIGHUP" in line and f"source={site.instruments_path}" in line
                assert (f'mode="{old} -> {mode}"' in line) == (old != mode)
                changed += 1
            assert client.call("MODE") == mode
    assert changed == RELOADS * 8 // 10
    wait_for_progress(loads, wait_until)
    for load in loads:
        load.finish()
    check_exactly_once(site, loads)
    with site.client() as client:
        info = client.info()
        assert int(info["orders_confirmed_udp_total"]) and int(info["orders_confirmed_grpc_total"]), "over both roads"
    assert set.union(*(load.statuses for load in loads)) >= {"NEW", "QUEUED"}, "every mode had its turn"
    assert site.orderd.terminate() == 0


def test_mode_and_config_reload_change_what_config_get_shows(site: Site) -> None:
    with site.client() as client, site.client(protocol=2) as other:
        assert client.call("MODE", "fire-and-forget") == "OK"
        assert other.call("CONFIG", "GET", "mode") == ["mode", "fire-and-forget"]
        assert other.call("ORDER.NEW", "a", *LIMIT)[9] == "QUEUED"
        write(site, 'reply_timeout_ms = 1234\nmode = "batch"\n')
        assert client.call("CONFIG", "RELOAD") == "OK"
        shown = client.call("CONFIG", "GET", "mode", "reply_timeout_ms", "listen.socket")
        assert shown == {"mode": "batch", "reply_timeout_ms": "1234", "listen.socket": str(site.socket_path)}
        site.instruments_path.write_text("mode = ")
        refused = client.ask("CONFIG", "RELOAD")
        assert isinstance(refused, RespError)
        assert re.fullmatch(r"ERR nothing changed: /.*instruments\.toml:1: .*", refused.text), refused.text
        site.instruments_path.unlink()
        assert "No such file" in client.ask("CONFIG", "RELOAD").text
        write(site, 'mode = "batch"\n[batch]\nlinger_ms = 10000\n')
        assert client.call("CONFIG", "RELOAD") == "OK"
        other.send(pack("ORDER.NEW", "b", *LIMIT))
        wait_until(lambda: client.info()["orders_queued"] == "1", "it waits for company")
        write(site, 'mode = "batch"\n[batch]\nlinger_ms = 1\n')
        assert client.call("CONFIG", "RELOAD") == "OK"
        other.socket.settimeout(9)
        assert other.reply()[9] == "NEW", "the shorter wait is for those that wait, too"
        write(site, "")
        assert client.call("CONFIG", "RELOAD") == "OK"
        assert client.info()["mode"] == "sync"
        # A reload that is asked for many times over is one of many, and each who asks is told.
        assert client.pipeline([("CONFIG", "RELOAD")] * 50 + [("PING",)]) == ["OK"] * 50 + ["PONG"]
    assert "CONFIG RELOAD by client" in site.orderd.log


def test_a_settings_file_that_never_ends_holds_nobody_up(site: Site) -> None:
    """A named pipe in its place is read in a worker thread; orders go on meanwhile, and so does the end."""
    site.instruments_path.unlink()
    os.mkfifo(site.instruments_path)
    site.orderd.popen.send_signal(signal.SIGHUP)
    with site.client() as client:
        client.send(b"*2\r\n$6\r\nCONFIG\r\n$6\r\nRELOAD\r\n")
        with site.client() as other:
            assert other.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
    assert Path(f"/proc/{site.orderd.popen.pid}").exists()
    assert site.orderd.terminate() == 0


def test_without_a_settings_file_a_reload_says_that_the_defaults_are_in_force(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "ORDERD_CONFIG": ""}
    orderd = Process("orderd", tmp_path, ["orderd"], environ)
    orderd.launch("run", "--set", "batch.linger_ms=3", "--set", "engine.embedded=false")
    try:
        orderd.wait_for_log(" ready ")
        with RespClient(tmp_path / "orderd" / "orderd.sock") as client:
            client.call("MODE", "batch")
            assert client.call("CONFIG", "RELOAD") == "OK"
            assert client.call("CONFIG", "GET", "mode", "batch.linger_ms") == {"mode": "sync", "batch.linger_ms": "3.0"}
        assert 'source="defaults, there is no settings file"' in orderd.log
        assert orderd.terminate() == 0
    finally:
        orderd.clean_up()
