"""The probing's UDP socket: connected, never fragmenting, and told of every ICMP error. Decides nothing.

IP_MTU_DISCOVER=DO sets the don't-fragment bit and has this machine refuse what its path MTU does not take (RFC 1191);
IP_RECVERR brings the errors that routers and filters send back, those too that a connected socket would not hear of.
"""

import errno
import select
import socket
import struct
import sys
from collections import Counter
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Self

from orderd.runtime.addresses import Address

# linux/in.h, linux/in6.h, linux/errqueue.h; Python does not name them.
_IP_MTU_DISCOVER: Final = 10
_IP_RECVERR: Final = 11
_IP_MTU: Final = 14
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_MTU: Final = 24
_IPV6_RECVERR: Final = 25
_PMTUDISC_DO: Final = 2
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_ORIGIN_LOCAL: Final = 1

_HEADERS_V4: Final = 28
_HEADERS_V6: Final = 48
_BUFFER_BYTES: Final = 4 * 2**20
_DATAGRAM_BYTES_MAX: Final = 65_535
_FULL: Final = (errno.EAGAIN, errno.ENOBUFS)
_FULL_WAIT_S: Final = 0.1
_SEND_TRIES: Final = 3


class ProbeSocket:
    """One peer. Raises OSError if there is no such host, or no route to it."""

    def __init__(self, address: Address) -> None:
        self.icmp: Counter[tuple[int, str]] = Counter()
        """Errors that came back, by errno and by who told; not those of sizes."""
        family, type_, protocol, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        self._v6 = family == socket.AF_INET6
        self._level = socket.IPPROTO_IPV6 if self._v6 else socket.IPPROTO_IP
        self._socket = socket.socket(family, type_, protocol)
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            self._socket.setsockopt(self._level, _IPV6_MTU_DISCOVER if self._v6 else _IP_MTU_DISCOVER, _PMTUDISC_DO)
            self._socket.setsockopt(self._level, _IPV6_RECVERR if self._v6 else _IP_RECVERR, 1)
            self._socket.connect(target)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    @property
    def headers_bytes(self) -> int:
        """Of IP and UDP, in each datagram."""
        return _HEADERS_V6 if self._v6 else _HEADERS_V4

    def path_mtu(self) -> int:
        """What this machine believes of the path, headers included; 0 if it does not tell."""
        try:
            return self._socket.getsockopt(self._level, _IPV6_MTU if self._v6 else _IP_MTU)
        except OSError:
            return 0

    def send(self, datagram: bytes) -> int:
        """0, or the errno of why it was not sent. Waits up to 0.1 s while buffers are full."""
        failed = 0
        for _ in range(_SEND_TRIES):
            try:
                self._socket.send(datagram)
            except OSError as error:
                failed = error.errno or errno.EIO
            else:
                return 0
            if failed in _FULL:
                select.select([], [self._socket], [], _FULL_WAIT_S)
            elif failed == errno.EMSGSIZE:
                self._drain_errors()
                return failed
            elif not self._drain_errors():
                return failed
            # Else it was the error of an earlier one that was told now; this one was not tried.
        return failed

    def receive(self, wait_s: float) -> list[tuple[bytes, int]]:
        """What came within ``wait_s`` seconds, as soon as there is something; each with its ``perf_counter_ns``."""
        select.select([self._socket], [], [], max(0.0, wait_s))
        self._drain_errors()
        found: list[tuple[bytes, int]] = []
        while True:
            try:
                datagram = self._socket.recv(_DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return found
            except OSError:
                # It stands in the error queue too, unless it came this moment.
                if not self._drain_errors():
                    return found
                continue
            found.append((datagram, perf_counter_ns()))

    def _drain_errors(self) -> int:
        """Takes all errors that are there; how many."""
        taken = 0
        while True:
            try:
                _, ancillary, _, _ = self._socket.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return taken
            taken += 1
            for level, _, data in ancillary:
                if level == self._level and len(data) >= _EXTENDED_ERROR.size:
                    number, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
                    if origin != _ORIGIN_LOCAL and number != errno.EMSGSIZE:
                        self.icmp[number, self._offender(data[_EXTENDED_ERROR.size :])] += 1

    @staticmethod
    def _offender(sockaddr: bytes) -> str:
        family = int.from_bytes(sockaddr[:2], sys.byteorder)
        if family == socket.AF_INET and len(sockaddr) >= 8:
            return socket.inet_ntop(family, sockaddr[4:8])
        if family == socket.AF_INET6 and len(sockaddr) >= 24:
            return socket.inet_ntop(family, sockaddr[8:24])
        return "?"
