"""The listening socket: its file and mode, a dead one's place, and one that somebody else made."""

import os
import socket
import stat
from pathlib import Path

import pytest

from orderd.intake.binding import CannotListen, SocketInUse, bind, listening_socket, name_of


def test_the_socket_has_its_mode_and_a_dead_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "s"
    bind(str(path), 0o640).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    again = bind(str(path), 0o600)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(SocketInUse, match="another process listens on"):
            bind(str(path), 0o600)
    finally:
        again.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(SocketInUse, match="is not a socket"):
        bind(str(path), 0o600)
    assert path.read_text() == "mine"


def test_a_busy_daemons_socket_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    path, held = tmp_path / "s", []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        try:
            while True:  # until its backlog is full
                held.append(socket.socket(socket.AF_UNIX))
                held[-1].setblocking(False)
                held[-1].connect(str(path))
        except BlockingIOError:
            pass
        with pytest.raises(SocketInUse):
            bind(str(path), 0o600)
        for sock in held:
            sock.close()


def test_a_place_that_cannot_be_is_one_line_with_key_and_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotListen, match=rf"^listen\.socket: cannot listen on {tmp_path}/file/x/s: Not a directory$"):
        bind(str(tmp_path / "file" / "x" / "s"), 0o600)


def test_a_socket_of_our_own_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_socket(str(path), 0o600, None) as listening:
        assert name_of(listening) == str(path)
        assert path.is_socket()
    assert not path.exists()
    assert listening.fileno() == -1


def test_an_inherited_socket_is_used_as_it_is_and_keeps_its_name(tmp_path: Path) -> None:
    inherited = bind(str(tmp_path / "theirs"), 0o640)
    owner = inherited.dup()
    inherited.setblocking(True)
    with listening_socket(str(tmp_path / "s"), 0o600, inherited) as listening:
        assert name_of(listening) == str(tmp_path / "theirs")
        assert not listening.getblocking()
    assert not (tmp_path / "s").exists()
    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o640
    with owner, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "theirs"))


def test_a_name_outside_the_file_system_is_shown_with_an_at_sign() -> None:
    name = f"orderd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        assert name_of(listening) == f"@{name}"
