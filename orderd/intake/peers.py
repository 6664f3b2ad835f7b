"""Who is at the other end of a Unix socket, from the kernel: what a client says of itself counts for nothing."""

import errno
import socket
import struct
from typing import Final

from orderd.intake.access import Peer
from orderd.runtime.accounts import groups_of

SO_PEERGROUPS: Final = 59
"""Linux 4.13 and later; not among the constants of :mod:`socket`."""
GROUPS_MAX: Final = 256
"""As many as a getsockopt of Python can give."""
_CREDENTIALS: Final = struct.Struct("iII")
_GID_BYTES: Final = 4


def peer_of(sock: socket.socket) -> Peer:
    """Process, user and groups as they were when the peer called connect(2) (unix(7)). Raises OSError."""
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_MAX * _GID_BYTES)
    except OSError as error:
        if error.errno not in (errno.ERANGE, errno.ENOPROTOOPT):
            raise
        # More than fit, or an old kernel: those that the system says this user is in.
        return Peer(pid, uid, frozenset({gid, *groups_of(uid, gid)}))
    return Peer(pid, uid, frozenset({gid, *struct.unpack(f"{len(data) // _GID_BYTES}I", data)}))
