"""Which numbers the orders of a file were given, so that sending the file again sends the same orders.

One small file for each file of orders that came without numbers, below orderctl's state directory. It is on disk before
the first order is sent: a run that was cut off anywhere can be repeated.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from orderd.ctl.errors import InputError


def key_of(*parts: bytes) -> str:
    """The name under which numbers are kept: of the file's bytes and what else the numbers hang on."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def first_number(directory: Path, key: str, reserve: Callable[[], int]) -> int:
    """The first number kept under ``key``; if there is none, the one that ``reserve`` gets, kept durably.

    Raises :class:`InputError` if it cannot be kept.
    """
    path = directory / key
    try:
        known = _read(path)
        if known is not None:
            return known
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=".")
        try:
            with open(handle, "w") as file:
                file.write(f"{reserve()}\n")
                file.flush()
                os.fsync(file.fileno())
            # Not a rename: another run may have been quicker, and its numbers count.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
        _sync(directory)
        known = _read(path)
    except OSError as error:
        raise InputError(f"{error.filename or path}: numbers cannot be kept: {error.strerror or error}") from None
    if known is None:
        raise InputError(f"{path}: was removed meanwhile")
    return known


def _read(path: Path) -> int | None:
    """Raises :class:`InputError` for what is no number, OSError for what cannot be read."""
    try:
        text = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{path}: not a number; if that file of orders was never sent, remove it")
    return int(text)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
