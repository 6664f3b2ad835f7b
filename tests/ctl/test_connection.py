"""The client connection against a fake daemon, a real Redis, and servers that misbehave."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderd.ctl.connection import Connection, Stream, default_socket
from orderd.ctl.errors import ReplyError, Unreachable
from tests.support.fake_orderd import FakeOrderd
from tests.support.needs import missing


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOrderd]:
    with FakeOrderd(tmp_path / "s") as daemon:
        yield daemon


def test_pairs_are_dicts_and_values_are_text(fake: FakeOrderd) -> None:
    with Connection(fake.path) as connection:
        order = connection.call("ORDER.NEW", "a", "AAPL", "BUY", 100, "LIMIT", "187.25")
        assert order["status"] == "NEW"
        assert order["quantity"] == "100"
        assert connection.call("ECHO", b"x\r\n y") == "x\r\n y"
        assert connection.call("EXEC.READ", "$", "BLOCK", 1) is None


def test_an_error_reply_has_its_word_and_the_connection_goes_on(fake: FakeOrderd) -> None:
    with Connection(fake.path) as connection:
        with pytest.raises(ReplyError) as caught:
            connection.call("ORDER.STATUS", "nobody")
        assert (caught.value.word, caught.value.text) == ("NOTFOUND", "no order nobody")
        assert connection.call("PING") == "PONG"


def test_a_pipeline_returns_errors_in_their_place(fake: FakeOrderd) -> None:
    with Connection(fake.path) as connection:
        replies = connection.pipeline([("PING",), ("NONSENSE",), ("PING",)])
    assert replies[0] == replies[2] == "PONG"
    assert isinstance(replies[1], ReplyError)


def test_two_full_buffers_do_not_wait_for_each_other(fake: FakeOrderd) -> None:
    """The fake answers before it reads on, so a client that only sends would stand still with it."""
    text = "x" * 2000
    answers: list[object] = []
    with Connection(fake.path, 30) as connection:
        stream = Stream[int](connection, lambda tag, reply, _: answers.append((tag, reply)), window=100_000)
        for i in range(5000):
            stream.send(i, ("ECHO", text))
        stream.drain()
        assert len(stream) == 0
    assert answers == [(i, text) for i in range(5000)]


def test_no_more_than_the_window_is_unanswered(fake: FakeOrderd) -> None:
    most = 0
    with Connection(fake.path) as connection:
        stream = Stream[None](connection, lambda *_: None, window=10)
        for _ in range(500):
            stream.send(None, ("PING",))
            most = max(most, len(stream))
        stream.drain()
    assert most < 10


def test_falsy_replies_are_replies(tmp_path: Path) -> None:
    """hiredis says False when nothing is there; 0, null and an empty array are something."""
    with Scripted(tmp_path / "s", [b"%0\r\n", b":0\r\n_\r\n*0\r\n$0\r\n\r\n"]) as path, Connection(path) as connection:
        assert connection.pipeline([("A",), ("B",), ("C",), ("D",)]) == [0, None, [], ""]


def test_no_daemon_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot connect"):
        Connection(tmp_path / "nothing")


def test_a_daemon_that_hangs_up_is_unreachable(tmp_path: Path) -> None:
    with Scripted(tmp_path / "s", [b"%0\r\n", b""]) as path, Connection(path) as connection, pytest.raises(Unreachable):
        connection.call("PING")


def test_a_daemon_that_does_not_answer_is_unreachable_after_the_time_out(tmp_path: Path) -> None:
    with Scripted(tmp_path / "s", []) as path, pytest.raises(Unreachable, match="no answer within"):
        Connection(path, 0.05)


def test_what_is_not_resp_is_unreachable(tmp_path: Path) -> None:
    with (
        Scripted(tmp_path / "s", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as path,
        pytest.raises(Unreachable, match="not a reply"),
    ):
        Connection(path)


class Scripted:
    """A server that answers each read with the next bytes, and hangs up for none."""

    def __init__(self, path: Path, script: list[bytes]) -> None:
        self.path = path
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX)
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        self._peer, _ = self._listener.accept()
        for answer in self._script:
            self._peer.recv(65536)
            if not answer:
                self._peer.shutdown(socket.SHUT_RDWR)
            else:
                self._peer.sendall(answer)

    def __enter__(self) -> Path:
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread.start()
        return self.path

    def __exit__(self, *_: object) -> None:
        self._thread.join(5)
        if self._peer is not None:
            self._peer.close()
        self._listener.close()


def test_it_speaks_resp3_with_a_real_redis(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not installed")
    path = tmp_path / "redis.sock"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if b"eady to accept connections" in line:
                break
        with Connection(path) as connection:
            assert connection.pipeline([("HSET", "h", f"f{i}", i) for i in range(5000)]) == [1] * 5000
            assert connection.call("HGETALL", "h")["f4999"] == "4999"
            with pytest.raises(ReplyError, match="WRONGTYPE"):
                connection.call("GET", "h")
    finally:
        server.terminate()
        server.communicate()


def test_the_default_socket_is_where_a_daemon_without_settings_listens(tmp_path: Path) -> None:
    assert default_socket({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "orderd" / "orderd.sock"
    assert default_socket({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/orderd/orderd.sock")
    assert default_socket({"HOME": "/h"}) == Path("/h/.local/state/orderd/orderd.sock")


def test_the_system_socket_is_taken_if_only_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system.sock"
    monkeypatch.setattr("orderd.ctl.connection.SYSTEM_SOCKET", system)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    own = tmp_path / "orderd" / "orderd.sock"
    assert default_socket(environ) == own
    system.touch()
    assert default_socket(environ) == system
    own.parent.mkdir()
    own.touch()
    assert default_socket(environ) == own
