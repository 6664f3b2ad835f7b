"""One listening Unix socket is taken over, anything else is refused in one line, and no child hears of it."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.runtime.activation import VARIABLES, ActivationError, take_socket


def environ_of(count: object, pid: object = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "orderd.socket"}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        os.set_inheritable(sock.fileno(), True)
        yield sock


def refusal(descriptor: int, count: object = 1) -> str:
    environ = environ_of(count)
    with pytest.raises(ActivationError) as caught:
        take_socket(environ, first_descriptor=descriptor)
    assert not environ
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_listening_unix_socket_is_taken(listening: socket.socket, tmp_path: Path) -> None:
    environ = environ_of(1) | {"HOME": "/"}
    taken = take_socket(environ, first_descriptor=listening.fileno())
    assert taken is not None
    assert taken.fileno() == listening.detach()
    with taken, socket.socket(socket.AF_UNIX) as client:
        assert environ == {"HOME": "/"}, "no child takes it for its own"
        assert not os.get_inheritable(taken.fileno())
        client.connect(str(tmp_path / "s"))
        taken.accept()[0].close()


def test_nothing_was_passed() -> None:
    for environ in ({}, {"LISTEN_FDS": "1"}, environ_of(0), environ_of(1, pid=1), environ_of("x", pid=1)):
        assert take_socket(environ, first_descriptor=9999) is None
        assert not environ


@pytest.mark.parametrize("count", ["", "x", "-1", "1.0", "²", "99999999999", "9" * 5000])
def test_a_count_that_is_no_number_is_refused(count: str) -> None:
    assert refusal(9999, count) == "LISTEN_FDS is not a number from 0 to 1024"


def test_descriptors_that_are_not_there_are_refused() -> None:
    assert refusal(9999) == "the descriptors that LISTEN_FDS=1 tells of: Bad file descriptor"


def test_two_sockets_are_one_too_many(listening: socket.socket) -> None:
    free = next(n for n in range(100, 1000) if not Path(f"/proc/self/fd/{n}").exists())
    first, second = os.dup2(listening.fileno(), free), os.dup2(listening.fileno(), free + 1)
    assert refusal(first, 2) == "2 sockets were passed, where one Unix stream socket is wanted"
    for descriptor in (first, second):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize(
    ("family", "kind", "problem"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "the socket that was passed is AF_INET, where AF_UNIX is wanted"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "the socket that was passed is SOCK_DGRAM, where SOCK_STREAM is wanted"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "the socket that was passed does not listen"),
    ],
)
def test_a_socket_of_another_kind_is_refused_and_closed(
    family: socket.AddressFamily, kind: socket.SocketKind, problem: str
) -> None:
    descriptor = socket.socket(family, kind).detach()
    assert refusal(descriptor) == problem
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_is_no_socket_is_refused(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert refusal(descriptor) == f"descriptor {descriptor} was passed to listen on and is not a socket"


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text()), st.booleans())
def test_whatever_the_environment_says_is_taken_or_refused(environ: dict[str, str], ours: bool) -> None:
    environ |= {"LISTEN_PID": str(os.getpid())} if ours else {}
    with contextlib.suppress(ActivationError):
        assert take_socket(environ, first_descriptor=9999) is None
    assert not environ
