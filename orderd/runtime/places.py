"""Where a daemon finds its settings file and its key, and where it keeps its state when there is no file.

Pure but for looks whether a file is there. A unit of systemd is given directories of its own (systemd.exec(5):
``RuntimeDirectory=``, ``StateDirectory=``, ``LoadCredential=``); without one it is the XDG base directories.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

CREDENTIAL: Final = "orderd.key"
"""The name of the credential that holds the key, the same for both daemons, as the key is."""


def find_config(given: Path | None, environ: Mapping[str, str], variable: str, system: Path) -> Path | None:
    """The settings file: the one that was ``given``, else named by the environment, else ``system`` if it is there.

    One that may be there, in a directory that we are kept out of, counts: nothing runs by its defaults because of that.
    """
    if given is not None:
        return given
    if environ.get(variable):
        return Path(environ[variable])
    return system if _may_be_there(system) else None


def state_directory(environ: Mapping[str, str], name: str) -> Path:
    """``$XDG_STATE_HOME/name``, else ``~/.local/state/name``."""
    return (_xdg(environ, "XDG_STATE_HOME") or _home(environ) / ".local" / "state") / name


def runtime_directory(environ: Mapping[str, str], name: str) -> Path:
    """``$XDG_RUNTIME_DIR/name``, else the state directory."""
    base = _xdg(environ, "XDG_RUNTIME_DIR")
    return state_directory(environ, name) if base is None else base / name


def own_state_directory(environ: Mapping[str, str], name: str) -> Path:
    """For the daemon itself: the state directory of its unit, else :func:`state_directory`."""
    return _unit(environ, "STATE_DIRECTORY") or state_directory(environ, name)


def own_runtime_directory(environ: Mapping[str, str], name: str) -> Path:
    """For the daemon itself: the runtime directory of its unit, else ``$XDG_RUNTIME_DIR/name``, else its state's.

    Its clients may be units too, with a runtime directory that is not the daemon's: they use
    :func:`runtime_directory`.
    """
    found = _unit(environ, "RUNTIME_DIRECTORY")
    if found is not None:
        return found
    base = _xdg(environ, "XDG_RUNTIME_DIR")
    return own_state_directory(environ, name) if base is None else base / name


def credential_file(environ: Mapping[str, str]) -> str:
    """The file of the credential that holds the key, if the unit was given one; else the empty string.

    One that may be there, in a directory that we are kept out of, counts as given: no daemon does without its key
    because of that.
    """
    directory = _credentials(environ)
    if directory is None or not _may_be_there(directory / CREDENTIAL):
        return ""
    return str(directory / CREDENTIAL)


def is_credential(path: Path, environ: Mapping[str, str]) -> bool:
    """Whether ``path`` is of the unit's credentials, whose modes the service manager answers for."""
    return path.parent == _credentials(environ)


def _may_be_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _credentials(environ: Mapping[str, str]) -> Path | None:
    path = Path(environ.get("CREDENTIALS_DIRECTORY", ""))
    return path if path.is_absolute() else None


def _unit(environ: Mapping[str, str], variable: str) -> Path | None:
    # Of several directories the first one is the unit's own.
    path = Path(environ.get(variable, "").partition(":")[0])
    return path if path.is_absolute() else None


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    # The XDG specification has relative paths ignored.
    path = Path(environ.get(variable, ""))
    return path if path.is_absolute() else None


def _home(environ: Mapping[str, str]) -> Path:
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        # A number that the system has no user for, as in a container. What cannot be made there names the place.
        return Path("/")
