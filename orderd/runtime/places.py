"""Where a daemon finds its settings file, and where it keeps its state when there is none. Pure but for one look."""

from collections.abc import Mapping
from pathlib import Path


def find_config(given: Path | None, environ: Mapping[str, str], variable: str, system: Path) -> Path | None:
    """The settings file: the one that was ``given``, else named by the environment, else ``system`` if it is there."""
    if given is not None:
        return given
    if environ.get(variable):
        return Path(environ[variable])
    return system if system.exists() else None


def state_directory(environ: Mapping[str, str], name: str) -> Path:
    """``$XDG_STATE_HOME/name``, else ``~/.local/state/name``."""
    return (_xdg(environ, "XDG_STATE_HOME") or _home(environ) / ".local" / "state") / name


def runtime_directory(environ: Mapping[str, str], name: str) -> Path:
    """``$XDG_RUNTIME_DIR/name``, else the state directory."""
    base = _xdg(environ, "XDG_RUNTIME_DIR")
    return state_directory(environ, name) if base is None else base / name


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    # The XDG specification has relative paths ignored.
    path = Path(environ.get(variable, ""))
    return path if path.is_absolute() else None


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
