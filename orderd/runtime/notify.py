"""Telling systemd how the daemon is, by the protocol of sd_notify(3): one datagram of ``NAME=value`` lines."""

import os
import socket
from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends ``state``, such as ``READY=1``, if there is a listener. Answers whether it was sent, and never raises."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # A leading @ stands for the zero byte of Linux's abstract names. Never blocks: a full queue is one more error.
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(state.encode(), b"\0" + address[1:].encode() if address[0] == "@" else address)
    except (OSError, ValueError):
        return False
    return True
