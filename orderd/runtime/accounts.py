"""Users and groups of the system, by name and by number (getpwnam(3), getgrnam(3)).

A look-up asks whatever nsswitch.conf(5) names, a directory server included, and so may take its time: not for the loop.
"""

import grp
import os
import pwd
from collections.abc import Callable
from typing import Final

NUMBER_MAX: Final = 2**32 - 2
"""The largest uid or gid; the one behind it stands for none (chown(2))."""


class NoSuchAccount(Exception):
    """A name that the system does not know or cannot look up, or a number that cannot be; the text says which."""


def uid_of(name: str) -> int:
    """The user with this name; digits are its number, whether the system knows it or not."""
    return _number_of("user", name, lambda: pwd.getpwnam(name).pw_uid)


def gid_of(name: str) -> int:
    """As :func:`uid_of`, for a group."""
    return _number_of("group", name, lambda: grp.getgrnam(name).gr_gid)


def user_name(uid: int) -> str:
    """The name of a user, or the number where the system knows none that is text, or cannot tell."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)
    # Bytes that are no text come as halves of surrogate pairs, which nothing can send or log.
    return name if name.isprintable() else str(uid)


def groups_of(uid: int, gid: int) -> list[int]:
    """All groups of a user whose primary one is ``gid``, as far as the system can tell."""
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except (KeyError, OSError):
        return [gid]


def _number_of(what: str, name: str, look_up: Callable[[], int]) -> int:
    if name.isascii() and name.isdigit():
        return _number(name)
    try:
        return look_up()
    except KeyError:
        raise NoSuchAccount(f"there is no {what} {name}") from None
    except OSError as error:
        raise NoSuchAccount(f"{what} {name} cannot be looked up: {error.strerror}") from None


def _number(text: str) -> int:
    if len(text) > len(str(NUMBER_MAX)) or int(text) > NUMBER_MAX:
        raise NoSuchAccount(f"{text} is not a number of a user or group: they end at {NUMBER_MAX}")
    return int(text)
