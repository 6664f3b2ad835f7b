"""A TCP port is had before anybody listens on it, by one at a time, and again at once."""

import socket

import pytest

from orderd.runtime.addresses import Address
from orderd.runtime.stream_sockets import address_of, bound_stream


def test_the_system_picks_a_port_that_can_be_had_again() -> None:
    with bound_stream(Address("127.0.0.1", 0)) as first:
        address = address_of(first)
        assert address.host == "127.0.0.1"
        first.listen()
        with socket.create_connection((address.host, address.port)), first.accept()[0] as accepted:
            accepted.shutdown(socket.SHUT_RDWR)
    with bound_stream(address) as again:
        assert address_of(again) == address


def test_nobody_is_there_before_somebody_listens() -> None:
    with bound_stream(Address("127.0.0.1", 0)) as sock:
        address = address_of(sock)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))


def test_a_port_that_is_taken_is_refused() -> None:
    with bound_stream(Address("127.0.0.1", 0)) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bound_stream(address_of(first))


def test_a_host_that_nobody_knows_is_refused() -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the text is the resolver's
        bound_stream(Address("host.invalid", 0))
