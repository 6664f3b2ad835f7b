"""Sockets of streams before anybody listens on them: bound early, so that a child can inherit them."""

import socket

from orderd.runtime.addresses import Address


def bound_stream(address: Address) -> socket.socket:
    """A TCP socket at ``address`` that does not listen yet. Raises OSError."""
    family, type_, protocol, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, type_, protocol)
    try:
        # A port whose last connections are still remembered by the system can be had again at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


def address_of(sock: socket.socket) -> Address:
    """Where it is bound."""
    host, port = sock.getsockname()[:2]
    return Address(host, port)
