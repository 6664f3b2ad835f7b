"""The key that authenticates frames between orderd and its engine: 32 bytes in a file that only its owner can read."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orderd.runtime.fields import one_line
from orderd.runtime.places import is_credential

KEY_BYTES: Final = 32
NO_KEY: Final = b""
"""Frames are protected against damage, not against forgery."""

_HEX: Final = re.compile(rb"[0-9a-fA-F]{64}")
_FILE_BYTES_MAX: Final = 1024


class KeyFileError(Exception):
    """A key file that cannot be used. One line that never holds a byte of the file."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def read_key(path: str | Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """The key in the file at ``path`` as :data:`KEY_BYTES` bytes; :data:`NO_KEY` where ``path`` is empty.

    The file holds 64 hex digits, perhaps with white space around them, and its mode grants group and others nothing. A
    credential of the unit (systemd.exec(5)) may be readable by its group: systemd writes the access list of the unit's
    user there.
    Raises :class:`KeyFileError`.
    """
    if str(path) == "":
        return NO_KEY
    try:
        # The mode is asked of the file that was opened, so that nobody can put another one in its place in between;
        # O_NONBLOCK keeps a named pipe from holding the start up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise KeyFileError(f"{path}: is not a regular file")
        if mode & (0o037 if is_credential(Path(path), environ) else 0o077):
            raise KeyFileError(f"{path}: mode {stat.S_IMODE(mode):04o} lets others in, chmod 0600 it")
        data = os.read(descriptor, _FILE_BYTES_MAX)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    digits = data.strip()
    if not _HEX.fullmatch(digits):
        raise KeyFileError(f"{path}: must hold {2 * KEY_BYTES} hex digits and nothing else")
    return bytes.fromhex(digits.decode("ascii"))
