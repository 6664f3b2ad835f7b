"""Numbers given to a file's orders are kept, so that a second run sends the same."""

import os
from pathlib import Path

import pytest

from orderd.ctl.batch_numbers import first_number, key_of
from orderd.ctl.errors import InputError


def never() -> int:
    raise AssertionError("numbers are known")


def test_the_first_number_is_kept(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "batches"
    assert first_number(directory, "k", lambda: 7) == 7
    assert first_number(directory, "k", never) == 7
    assert first_number(directory, "other", lambda: 8) == 8
    assert sorted(os.listdir(directory)) == ["k", "other"]


def test_of_two_runs_at_once_the_first_ones_numbers_count(tmp_path: Path) -> None:
    def slow() -> int:
        return first_number(tmp_path, "k", lambda: 1) + 10

    assert first_number(tmp_path, "k", slow) == 1


def test_numbers_are_not_kept_if_none_came(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        first_number(tmp_path, "k", never)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_kept_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="numbers cannot be kept"):
        first_number(tmp_path / "file", "k", lambda: 1)
    (tmp_path / "k").write_text("seven")
    with pytest.raises(InputError, match="not a number"):
        first_number(tmp_path, "k", lambda: 1)


def test_keys_differ_where_any_part_does() -> None:
    assert len({key_of(b"a", b"b"), key_of(b"ab", b""), key_of(b"", b"ab"), key_of(b"a", b"c")}) == 4
    assert key_of(b"a", b"b") == key_of(b"a", b"b")
