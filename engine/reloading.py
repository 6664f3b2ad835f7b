"""SIGHUP: the settings are read again, and the rules of markets put in force.

Only ``[[market]]`` can change while the engine runs. A file that cannot be used, or that changes another key, leaves
everything as it was and is one line of the log. The file is read in a worker thread; what it says is put in force in
one round, with an input for each instrument whose rules change, which is on disk before anything shows that it is so.
"""

from typing import Protocol

from engine.config import EngineSettings
from engine.core import EngineCore
from engine.rounds import Rounds
from orderd.runtime.fields import SHOWN_MAX
from orderd.runtime.host import RunSync, run_in_thread
from orderd.runtime.log import get_logger
from orderd.runtime.settings import SettingsError, changed_keys, flatten, is_reloadable

log = get_logger("settings")


class Source(Protocol):
    """Where settings come from; :class:`~engine.config.EngineSource` is the one there is."""

    @property
    def place(self) -> str:
        """For the log."""

    def load(self) -> EngineSettings:
        """Read them again. May take its time. Raises :class:`SettingsError`."""


class Reloader:
    """``settings`` are in force at first; a reload finds what ``source`` says then."""

    def __init__(
        self,
        settings: EngineSettings,
        source: Source,
        core: EngineCore,
        rounds: Rounds,
        run_blocking: RunSync = run_in_thread,
    ) -> None:
        self.settings = settings
        self._source = source
        self._core = core
        self._rounds = rounds
        self._run_blocking = run_blocking

    async def reload(self) -> None:
        """Once. Raises :class:`~orderd.journal.errors.JournalError`."""
        try:
            new = await self._run_blocking(self._source.load, abandon_on_cancel=True)
        except SettingsError as error:
            why_not: str | None = str(error)
        else:
            why_not = self._needs_restart(new)
        if why_not is not None:
            log.error("reload refused, the old settings stay in force", reason=why_not)
            return
        changed = new.market != self.settings.market
        self.settings = new
        self._core.agenda.want(new.markets)
        await self._rounds.turn()
        log.info("settings changed" if changed else "settings are as before", source=self._source.place)

    def _needs_restart(self, new: EngineSettings) -> str | None:
        """Why ``new`` cannot be put in force while the engine runs, if it cannot."""
        old = self.settings
        keys = [key for key in changed_keys(old, new) if not is_reloadable(EngineSettings, key)]
        if not keys:
            return None
        was, will_be = flatten(old), flatten(new)
        parts = [f"{key} is {_cut(was[key])} and cannot become {_cut(will_be[key])}" for key in keys]
        return ", ".join(parts) + " without a restart"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
