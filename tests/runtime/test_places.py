"""The settings file and the state are looked for where the environment says."""

import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from orderd.runtime.places import (
    credential_file,
    find_config,
    is_credential,
    own_runtime_directory,
    own_state_directory,
    runtime_directory,
    state_directory,
)


def test_the_first_settings_file_named_is_taken(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    environ = {"THE_CONFIG": "/from/environment"}
    assert find_config(None, {}, "THE_CONFIG", system) is None
    assert find_config(None, {"THE_CONFIG": ""}, "THE_CONFIG", system) is None
    system.touch()
    assert find_config(None, {}, "THE_CONFIG", system) == system
    assert find_config(None, environ, "THE_CONFIG", system) == Path("/from/environment")
    assert find_config(Path("given"), environ, "THE_CONFIG", system) == Path("given")


def test_a_settings_file_that_we_are_kept_from_is_not_taken_for_none(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert find_config(None, {}, "THE_CONFIG", loop / "orderd.toml") == loop / "orderd.toml"
    (tmp_path / "file").touch()
    assert find_config(None, {}, "THE_CONFIG", tmp_path / "file" / "orderd.toml") is None


def test_a_user_without_a_home_has_places_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> NoReturn:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert state_directory({}, "x") == Path("/.local/state/x")


def test_state_lives_where_xdg_says_and_relative_paths_are_ignored() -> None:
    home = {"HOME": "/home/a"}
    assert state_directory(home, "x") == Path("/home/a/.local/state/x")
    assert state_directory(home | {"XDG_STATE_HOME": "/s"}, "x") == Path("/s/x")
    assert state_directory(home | {"XDG_STATE_HOME": "s"}, "x") == Path("/home/a/.local/state/x")
    assert state_directory({}, "x").is_absolute()
    assert runtime_directory(home | {"XDG_RUNTIME_DIR": "/run/user/1"}, "x") == Path("/run/user/1/x")
    assert runtime_directory(home | {"XDG_RUNTIME_DIR": "run"}, "x") == Path("/home/a/.local/state/x")
    assert runtime_directory(home, "x") == Path("/home/a/.local/state/x")


def test_a_unit_of_systemd_has_directories_of_its_own() -> None:
    xdg = {"HOME": "/home/a", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}
    assert (own_state_directory(xdg, "x"), own_runtime_directory(xdg, "x")) == (Path("/s/x"), Path("/r/x"))
    unit = xdg | {"STATE_DIRECTORY": "/var/lib/x", "RUNTIME_DIRECTORY": "/run/x:/run/y"}
    assert (own_state_directory(unit, "x"), own_runtime_directory(unit, "x")) == (Path("/var/lib/x"), Path("/run/x"))
    state_only = {"HOME": "/home/a", "STATE_DIRECTORY": "/var/lib/x", "RUNTIME_DIRECTORY": ""}
    assert own_runtime_directory(state_only, "x") == Path("/var/lib/x")
    assert (state_directory(unit, "x"), runtime_directory(unit, "x")) == (Path("/s/x"), Path("/r/x")), "not a client's"


def test_the_key_may_be_a_credential_of_the_unit(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    path = tmp_path / "orderd.key"
    assert credential_file(environ) == credential_file({}) == ""
    path.touch()
    assert credential_file(environ) == str(path)
    assert is_credential(path, environ)
    for other in (tmp_path / "below" / "orderd.key", tmp_path, Path("orderd.key")):
        assert not is_credential(other, environ)
    for elsewhere in ({}, {"CREDENTIALS_DIRECTORY": ""}, {"CREDENTIALS_DIRECTORY": "."}):
        assert not is_credential(path, elsewhere) and not is_credential(Path("orderd.key"), elsewhere)


def test_a_credential_that_we_are_kept_from_is_not_taken_for_none(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert credential_file({"CREDENTIALS_DIRECTORY": str(loop)}) == str(loop / "orderd.key")
