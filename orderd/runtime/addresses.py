"""Network addresses as settings write them: ``host:port``, or ``[v6]:port``. Pure."""

import re
from ipaddress import ip_address
from typing import Final

import attrs

_LABEL: Final = r"[\w-]{1,63}"  # RFC 1035, section 2.3.4: of another length the resolver's codec raises UnicodeError.
_ADDRESS: Final = re.compile(rf"(?a:(?:\[([0-9a-fA-F:.%\w]+)\]|({_LABEL}(?:\.{_LABEL})*\.?)):(\d{{1,5}}))")


@attrs.frozen
class Address:
    """A host (name or number, without brackets) and a port; port 0 where the system is to pick one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it surely never leaves the machine. Of names only ``localhost`` is believed."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Raises ValueError unless ``text`` is an address with a port from 0 to 65535."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    if match[1] is not None:
        ip_address(match[1])
    return Address(match[1] or match[2], int(match[3]))


def check_listen_address(text: str) -> str | None:
    """What is wrong with ``text`` as an address to listen on, for :func:`orderd.runtime.fields.text`."""
    try:
        parse_address(text)
    except ValueError:
        return "must be host:port, such as 127.0.0.1:9001 or [::1]:9001"
    return None


def check_peer_address(text: str) -> str | None:
    """The same for an address to send to, which has a port."""
    problem = check_listen_address(text)
    return problem or (None if parse_address(text).port else "must have a port from 1 to 65535")
