"""The judge: hears what clients say and are told, sees what journals take, and compares all of it with a naive book.

Each method is told of something that has just happened; ``site`` is the name of an orderd, ``now`` is in virtual
seconds. What cannot be is a :class:`~tests.simulation.oracle.errors.Contradiction`, as soon as it can be known.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.simulation.oracle import final, guards
from tests.simulation.oracle.applied import Engine
from tests.simulation.oracle.books import BooksTold
from tests.simulation.oracle.entries import Entries
from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.executions import ExecutionsTold
from tests.simulation.oracle.journals import JournalHistory
from tests.simulation.oracle.limits import Limits
from tests.simulation.oracle.records import Entry
from tests.simulation.oracle.replies import Replies
from tests.simulation.oracle.said import Words
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Connection, Talk

ENGINE: Final = "engine"


class Oracle:
    """Of one world. ``sites`` are the names of its orderds."""

    def __init__(self, limits: Limits | None = None, sites: Iterable[str] = ("a", "b")) -> None:
        limits = limits or Limits()
        self.tick = 1
        """Grows with everything that is told: what was before what."""
        self._journals = {name: JournalHistory(name) for name in (*sites, ENGINE)}
        self.sites = {name: Site(name, limits.of(name), Talk(name)) for name in sites}
        self._entries = {name: Entries(site) for name, site in self.sites.items()}
        self.engine = Engine(limits, self.sites)
        self._executions = {name: ExecutionsTold(site) for name, site in self.sites.items()}
        self._replies = {name: Replies(site, self._executions[name]) for name, site in self.sites.items()}
        self._books = BooksTold(self.engine)
        self._engine_starts = False
        self._audited: dict[str, int] = {}
        self._is_over = False
        self.broken: Contradiction | None = None
        """The first rule that was broken, as a daemon in whose call that was seen may have swallowed it."""
        self.told_total = 0

    # --- clients ------------------------------------------------------------------------------------------------------

    def connected(self, site: str, connection: int, now: float) -> None:
        """A connection is there."""
        self.sites[site].talk.connected(connection, self.sites[site].life)

    def sent(self, site: str, connection: int, number: int, words: Words, now: float) -> None:
        """A command has begun to be handed over."""
        self.tick += 1
        place = self.sites[site]
        command = place.talk.sent(connection, number, words, self.tick, now)
        for one in (command, *(command.parts or ())):
            one.executions, one.rows = place.sure_executions, place.sure_rows
        self._books.asked(command)

    def sent_whole(self, site: str, connection: int, number: int) -> None:
        """Its last byte was handed over."""
        self._connection(site, connection).said[number].whole = True

    def told(self, site: str, connection: int, number: int, reply: Any, now: float) -> None:
        """A command was answered."""
        self.tick += 1
        self.told_total += 1
        if self.broken is not None:
            raise self.broken
        command = self._connection(site, connection).said[number]
        self._replies[site].take(command, reply, self.tick, now)
        self._books.answered(site, command, reply, now)

    def pushed(self, site: str, connection: int, message: Any, now: float) -> None:
        """A push came."""
        self._executions[site].pushed(self._connection(site, connection), message, now)

    def ended(self, site: str, connection: int, by: str, now: float) -> None:
        """``by`` is who hung up: ``client`` or ``daemon``."""
        one, place = self._connection(site, connection), self.sites[site]
        one.ended = True
        self._books.forget(one)
        if by == "daemon" and one.life in place.ended_well:
            self._check_answered(place, one, now)

    def _connection(self, site: str, number: int) -> Connection:
        return self.sites[site].talk.connections[number]

    def _check_answered(self, site: Site, connection: Connection, now: float) -> None:
        """orderd has come to its end in order: what it journaled of this client was answered."""
        for command in connection.said:
            origin = command.origin
            answered = command.told if command.transaction is None else command.transaction.told
            if answered or origin is None or origin.sole is not command or not origin.rows:
                continue
            raise Contradiction(
                "shutdown", f"{site.name}: {command} was journaled as {origin.rows}, and was not answered before "
                f"orderd hung up, at {now:.6f}, at the end that SIGTERM asked for",
            )  # fmt: skip

    # --- daemons ------------------------------------------------------------------------------------------------------

    def daemon_started(self, who: str, now: float) -> None:
        """A life begins."""
        if who == ENGINE:
            self._engine_starts = True
        else:
            site = self.sites[who]
            site.life += 1
            site.is_up, site.has_started = True, False

    def daemon_ended(self, who: str, how: str, error: BaseException | None, now: float) -> None:
        """``how`` is killed, stopped or failed."""
        if who == ENGINE:
            return
        self.tick += 1
        site = self.sites[who]
        site.is_up = False
        site.ends[site.life] = how
        asked_at = site.sigterms.get(site.life)
        if how == "stopped" and asked_at is not None and now - asked_at < site.limits.close_s:
            site.ended_well[site.life] = None
        excuse = site.excuses.pop(site.life, None)
        if excuse is not None:
            with self._noting():
                site.excuse(site.life, excuse)
        self._go_back(site)

    def _go_back(self, site: Site) -> None:
        """A new life knows what is in the journal, and no more."""
        for row in site.rows:
            if row.known and row.known[-1][1] > row.journaled:
                row.known = [(self.tick, row.journaled)]

    def sigterm(self, who: str, now: float) -> None:
        """It is asked to end."""
        if who != ENGINE and self.sites[who].is_up:
            site = self.sites[who]
            site.sigterms.setdefault(site.life, now)

    def committed(self, who: str, entries: list[Entry], now: float) -> None:
        """A commit has returned."""
        self.tick += 1
        with self._noting():
            found = self._journals[who].committed(entries)
            if who == ENGINE:
                # What is found is of the life before.
                self.engine.take(found, self.tick, now)
                self.engine.is_booted = self.engine.is_booted and not self._engine_starts
                self._engine_starts = False
                self.engine.take(entries, self.tick, now)
                self._books.changed()
            else:
                self._entries[who].take(found + entries, self.tick, now)

    def replayed(self, who: str, first: int, entries: list[Entry], now: float) -> None:
        """A start has read these back, ``first`` lie before them."""
        with self._noting():
            self._journals[who].replayed(first, entries, now)
            # What was more there is of the life before; the start that this one journals comes next.
            if who == ENGINE:
                self._engine_starts = True
            else:
                self.sites[who].has_started = False

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Once a rule is broken, that is all there is to say."""
        if self.broken is not None:
            raise self.broken
        try:
            yield
        except Contradiction as error:
            self.broken = error
            raise

    def allow(self, what: str, site: str) -> None:
        """What loosens rules: ``fork`` (a copy of its disk ran beside), ``loss`` (its last commits are gone)."""
        if site in self.sites:
            self.sites[site].is_loose = True

    def rolled_back(self, who: str, entries_kept: int) -> None:
        """Its journal has no more than that any more."""
        self._journals[who].rolled_back(entries_kept)
        for site in self.sites.values():
            site.is_loose = True

    # --- the whole ----------------------------------------------------------------------------------------------------

    def audited(self, site: str, executions: list[tuple[int, dict[str, str]]], now: float) -> None:
        """What a reader of the whole stream has read."""
        told, before = self._executions[site], None
        for exec_id, pairs in executions:
            if before is not None and exec_id != before + 1:
                raise Contradiction("executions", f"{site}: {exec_id} follows {before}, read at {now:.6f}")
            before = exec_id
            told.check(exec_id, pairs, f"{site}: read at {now:.6f}")
        if before is not None:
            self._audited[site] = max(self._audited.get(site, 0), before)

    def settled(self, site: str) -> int | None:
        """How many reports there are for it, if all of them are in its journal; None while some are on their way."""
        place = self.sites[site]
        return len(place.reports) if place.journaled == len(place.reports) or place.is_loose else None

    def final(
        self, site: str, orders: list[dict[str, str]], positions: Any, books: dict[str, Any], info: dict[str, str]
    ) -> None:
        """What a daemon shows when nothing is under way, with :meth:`settled` before and after."""
        place = self.sites[site]
        if place.is_loose:
            return
        final.check_applied(place, self.engine)
        for text in place.excuses.values():
            raise Contradiction("unknown", text)
        final.check_orders(place, orders)
        final.check_positions(place, positions)
        final.check_books(place, books, self.engine)
        final.check_info(place, info)
        guards.check_all(place)
        if place.executions and self._audited.get(site, 0) != place.executions:
            raise Contradiction(
                "final", f"{site}: read to execution {self._audited.get(site, 0)}, {place.executions} are"
            )
        self._is_over = True

    def verdict(self) -> None:
        """After all else: what concerns all of them together."""
        if self.broken is not None:
            raise self.broken
        for site in self.sites.values():
            if site.rows and not site.is_loose and not self._is_over:
                raise Contradiction("final", f"nobody has seen the end of {site.name}")

    def figures(self) -> dict[str, int]:
        """Counts of what was seen."""
        sites = self.sites.values()
        return {
            "commands": sum(site.talk.commands for site in sites),
            "replies": self.told_total,
            "records": sum(len(site.rows) for site in sites),
            "executed": self.engine.records,
            "trades": self.engine.book.trades,
            "executions": sum(site.executions for site in sites),
        }
