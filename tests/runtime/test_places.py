"""The settings file and the state are looked for where the environment says."""

from pathlib import Path

from orderd.runtime.places import find_config, runtime_directory, state_directory


def test_the_first_settings_file_named_is_taken(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    environ = {"THE_CONFIG": "/from/environment"}
    assert find_config(None, {}, "THE_CONFIG", system) is None
    assert find_config(None, {"THE_CONFIG": ""}, "THE_CONFIG", system) is None
    system.touch()
    assert find_config(None, {}, "THE_CONFIG", system) == system
    assert find_config(None, environ, "THE_CONFIG", system) == Path("/from/environment")
    assert find_config(Path("given"), environ, "THE_CONFIG", system) == Path("given")


def test_state_lives_where_xdg_says_and_relative_paths_are_ignored() -> None:
    home = {"HOME": "/home/a"}
    assert state_directory(home, "x") == Path("/home/a/.local/state/x")
    assert state_directory(home | {"XDG_STATE_HOME": "/s"}, "x") == Path("/s/x")
    assert state_directory(home | {"XDG_STATE_HOME": "s"}, "x") == Path("/home/a/.local/state/x")
    assert state_directory({}, "x").is_absolute()
    assert runtime_directory(home | {"XDG_RUNTIME_DIR": "/run/user/1"}, "x") == Path("/run/user/1/x")
    assert runtime_directory(home | {"XDG_RUNTIME_DIR": "run"}, "x") == Path("/home/a/.local/state/x")
    assert runtime_directory(home, "x") == Path("/home/a/.local/state/x")
