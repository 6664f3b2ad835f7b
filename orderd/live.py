"""The settings in force and their one owner: SIGHUP, CONFIG RELOAD and MODE all come here.

A reload reads the same file again, with the same ``--set`` values over it, in a worker thread: the loop is not held.
What it finds is checked whole and then put in force in one step, between two commands, so that nobody sees one half of
it. A file that cannot be used, or that changes a key which needs a restart, leaves everything as it was.

Reloads are done one after the other. Who asks while one is under way is served by the next, since the file may have
changed after it was read. MODE lasts until the next reload, which finds the mode that the file says.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, Protocol, cast

import attrs
import trio
from trio_util import AsyncValue

from orderd.config import ModeName, Settings
from orderd.dispatch.batching import BatchingSettings
from orderd.intake.context import LiveSettings
from orderd.orders.modes import MODE_NAMES, Mode
from orderd.orders.shares import ShareSettings
from orderd.runtime.fields import SHOWN_MAX
from orderd.runtime.host import RunSync, run_in_thread
from orderd.runtime.log import get_logger
from orderd.runtime.settings import SettingsError, changed_keys, flatten, is_reloadable

Part = Callable[[Settings, Settings], None]
"""Takes the old settings and the new ones over; must not fail, and sees to it at once."""

_NAME_OF: Final = {mode: cast("ModeName", name) for name, mode in MODE_NAMES.items()}

log = get_logger("settings")


def batching_settings(settings: Settings) -> BatchingSettings:
    """``[batch]`` in the terms of the batching policy."""
    return BatchingSettings(settings.batch.orders_max, settings.batch.linger_ms / 1000)


def share_settings(settings: Settings) -> ShareSettings:
    """What one connection may have, in the terms of its part."""
    return ShareSettings(settings.limits.client_share_percent, settings.limits.client_orders_per_second)


class Source(Protocol):
    """Where settings come from; :class:`~orderd.config.SettingsSource` is the one there is."""

    @property
    def place(self) -> str:
        """For the log."""

    def load(self) -> Settings:
        """Read them again. May take its time. Raises :class:`SettingsError`."""


@attrs.frozen
class _Asked:
    by: str
    done: Callable[[str | None], None]


class SettingsOwner:
    """``settings`` are in force at first; a reload finds what ``source`` says then, read by ``run_blocking``."""

    def __init__(self, settings: Settings, source: Source, run_blocking: RunSync = run_in_thread) -> None:
        self.settings = AsyncValue(settings)
        """What is in force, for those who wait for it to change."""
        self._source = source
        self._run_blocking = run_blocking
        self._shown = flatten(settings)
        self._parts: list[Part] = []
        self._asked: list[_Asked] = []
        self._wanted = trio.Event()

    @property
    def current(self) -> Settings:
        """The settings in force."""
        settings: Settings = self.settings.value
        return settings

    @property
    def in_force(self) -> LiveSettings:
        """The same in the terms of commands."""
        settings = self.current
        timeout = settings.reply_timeout_ms / 1000
        return LiveSettings(
            MODE_NAMES[settings.mode], timeout, settings.access.rules, self._shown, settings.risk_limits
        )

    def on_change(self, part: Part) -> None:
        """From now on ``part`` is called whenever settings are put in force, in the order of these calls."""
        self._parts.append(part)

    def set_mode(self, mode: Mode, by: str) -> None:
        """Put ``mode`` in force at once, until the next reload or restart."""
        name = _NAME_OF[mode]
        self._put_in_force(attrs.evolve(self.current, mode=name), {**self._shown, "mode": name}, by)

    def ask_reload(self, by: str, done: Callable[[str | None], None] = lambda _: None) -> None:
        """Have :meth:`run` reload. ``done`` is called with why the old settings stay, or None if the new are in force.

        ``by`` says who asks, for the log.
        """
        self._asked.append(_Asked(by, done))
        self._wanted.set()

    async def run(
        self, told: Callable[[], None], around: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    ) -> None:
        """Reload whenever somebody asks, each time within ``around()``.

        ``told()`` is called after those who asked heard how it came out.
        """
        while True:
            await self._wanted.wait()
            asked = self._take_asked()
            async with around():
                self._settle(asked, await self._run_blocking(self._read, abandon_on_cancel=True))
                # Before anything that ``around`` may wait for.
                told()

    def reload_if_asked(self) -> None:
        """What :meth:`run` does, here and now."""
        if self._asked:
            self._settle(self._take_asked(), self._read())

    def _take_asked(self) -> list[_Asked]:
        asked, self._asked, self._wanted = self._asked, [], trio.Event()
        return asked

    def _read(self) -> "tuple[Settings, dict[str, str]] | SettingsError":
        try:
            settings = self._source.load()
        except SettingsError as error:
            return error
        return settings, flatten(settings)

    def _settle(self, asked: list[_Asked], outcome: "tuple[Settings, dict[str, str]] | SettingsError") -> None:
        by = ", ".join(dict.fromkeys(one.by for one in asked))
        why_not = str(outcome) if isinstance(outcome, SettingsError) else self._needs_restart(*outcome)
        if why_not is not None:
            log.error("reload refused, the old settings stay in force", by=by, reason=why_not)
        elif not isinstance(outcome, SettingsError):
            self._put_in_force(*outcome, by, source=self._source.place)
        for one in asked:
            one.done(why_not)

    def _needs_restart(self, new: Settings, shown: dict[str, str]) -> str | None:
        """Why ``new`` cannot be put in force while the daemon runs, if it cannot."""
        keys = [key for key in changed_keys(self.current, new) if not is_reloadable(Settings, key)]
        if not keys:
            return None
        parts = [f"{key} is {_cut(self._shown[key])} and cannot become {_cut(shown[key])}" for key in keys]
        return ", ".join(parts) + " without a restart"

    def _put_in_force(self, new: Settings, shown: dict[str, str], by: str, **about: str) -> None:
        old, old_shown = self.current, self._shown
        self._shown = shown
        self.settings.value = new
        for part in self._parts:
            part(old, new)
        changes = {key: f"{_cut(old_shown[key])} -> {_cut(shown[key])}" for key in changed_keys(old, new)}
        log.info("settings changed" if changes else "settings are as before", by=by, **about, **changes)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
