"""Users and groups of the system, by name and by number (getpwnam(3), getgrnam(3)).

A look-up asks whatever nsswitch.conf(5) names, a directory server included, and so may take its time: not for the loop.
"""

import grp
import os
import pwd
from typing import Final

NUMBER_MAX: Final = 2**32 - 2
"""The largest uid or gid; the one behind it stands for none (chown(2))."""


class NoSuchAccount(Exception):
    """A name that the system does not know or cannot look up, or a number that cannot be; the text says which."""


def uid_of(name: str) -> int:
    """The user with this name; digits are its number, whether the system knows it or not."""
    if _is_number(name):
        return _number(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise NoSuchAccount(f"there is no user {name}") from None
    except OSError as error:
        raise NoSuchAccount(f"user {name} cannot be looked up: {error.strerror}") from None


def gid_of(name: str) -> int:
    """As :func:`uid_of`, for a group."""
    if _is_number(name):
        return _number(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise NoSuchAccount(f"there is no group {name}") from None
    except OSError as error:
        raise NoSuchAccount(f"group {name} cannot be looked up: {error.strerror}") from None


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


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _number(text: str) -> int:
    if len(text) > len(str(NUMBER_MAX)) or int(text) > NUMBER_MAX:
        raise NoSuchAccount(f"{text} is not a number of a user or group: they end at {NUMBER_MAX}")
    return int(text)
