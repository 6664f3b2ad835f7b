"""A key is taken from a private, well-formed file, and never shows in an error."""

import os
from pathlib import Path

import pytest

from orderd.runtime.keys import NO_KEY, KeyFileError, read_key

DIGITS = "00ff" * 16


def key_file(directory: Path, content: str, mode: int = 0o600) -> Path:
    path = directory / "key"
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [DIGITS, DIGITS + "\n", f"  {DIGITS.upper()}\r\n"])
def test_a_key_is_the_64_digits_of_its_file(tmp_path: Path, content: str) -> None:
    assert read_key(key_file(tmp_path, content)) == bytes.fromhex(DIGITS)
    assert read_key(key_file(tmp_path, content, 0o400)) == bytes.fromhex(DIGITS)


def test_no_path_is_no_key() -> None:
    assert read_key("") == NO_KEY == b""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620, 0o666, 0o644, 0o601])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
        read_key(key_file(tmp_path, DIGITS, mode))


def test_a_credential_may_be_readable_by_its_group_and_nobody_else(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    for mode in (0o400, 0o440, 0o640):
        assert read_key(key_file(tmp_path, DIGITS, mode), environ) == bytes.fromhex(DIGITS)
    for mode in (0o444, 0o660, 0o450, 0o441):
        with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
            read_key(key_file(tmp_path, DIGITS, mode), environ)
    with pytest.raises(KeyFileError, match="mode 0440"):
        read_key(key_file(tmp_path, DIGITS, 0o440), {"CREDENTIALS_DIRECTORY": "/run/credentials/orderd.service"})


@pytest.mark.parametrize(
    "content", ["", DIGITS[:-1], DIGITS + "0", DIGITS[:-1] + "g", DIGITS + "\n" + DIGITS, "\u0661" * 64]
)
def test_a_file_of_another_shape_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    with pytest.raises(KeyFileError, match="must hold 64 hex digits") as caught:
        read_key(key_file(tmp_path, content))
    assert "\n" not in str(caught.value)
    assert "00ff" not in str(caught.value).removeprefix(str(tmp_path))


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(KeyFileError):
            read_key(path)
    with pytest.raises(KeyFileError, match=r"^a\\x00b: .*embedded null"):
        read_key("a\0b")
