"""No datagram and no error that a stranger can cause ends a socket; a mistake of our own does."""

import errno
import socket

import pytest

from orderd.runtime.addresses import Address
from orderd.runtime.datagrams import UdpSocket
from tests.support.processes import wait_until

LOCAL = Address("127.0.0.1", 0)


class Failing:
    """A socket that has nothing but errors."""

    def __init__(self, number: int) -> None:
        self._error = OSError(number, "it is broken")

    def setblocking(self, flag: bool) -> None: ...

    def setsockopt(self, *_: int) -> None: ...

    def recvfrom(self, _: int) -> None:
        raise self._error

    def send(self, _: bytes) -> None:
        raise self._error


def failing(number: int) -> UdpSocket:
    return UdpSocket(Failing(number))  # type: ignore[arg-type]


def test_an_answer_to_port_0_is_lost_and_the_next_one_is_not() -> None:
    # A datagram can come from there (RFC 768), but none can be sent there.
    sock, peer = UdpSocket.bound(LOCAL), UdpSocket.bound(LOCAL)
    assert not sock.send(b"answer", ("127.0.0.1", 0))
    assert sock.last_error == "Invalid argument"
    assert sock.send(b"answer", ("127.0.0.1", peer.address.port))
    assert sock.last_error == ""
    sock.close()
    peer.close()


# What ICMP messages and routes become on Linux.
@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNREFUSED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPROTO,
        errno.ENONET,
        errno.EACCES,
        errno.EINVAL,
        errno.EADDRNOTAVAIL,
        errno.ENOBUFS,
    ],
)
def test_what_the_road_does_loses_a_datagram_and_no_more(number: int) -> None:
    sock = failing(number)
    assert not sock.send(b"order")
    assert sock.last_error == "it is broken"


def test_an_error_that_does_not_go_away_does_not_hold_the_receiver() -> None:
    assert failing(errno.ENETDOWN).receive() == []


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOTSOCK])
def test_what_is_our_own_mistake_is_raised(number: int) -> None:
    with pytest.raises(OSError, match="it is broken"):
        failing(number).receive()
    with pytest.raises(OSError, match="it is broken"):
        failing(number).send(b"order")


def test_a_peer_that_is_not_there_is_told_and_asked_again() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    sock = UdpSocket.connected(Address("127.0.0.1", port))
    assert sock.send(b"order")
    wait_until(lambda: sock.receive() == [] and sock.last_error != "", "the refusal comes")
    assert sock.last_error == "Connection refused"
    sock.close()
