"""What an orderd's journal has taken, entry by entry.

Rules: epochs grow, and each start is journaled before anything else; reports are the engine's, in order; numbers and
guards are given out and end once; what is unconfirmed is bounded.
"""

from typing import Final

from tests.simulation.oracle import guards
from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.groups import Groups
from tests.simulation.oracle.records import (
    ACCOUNT_TRADING,
    AGED,
    GUARD_END,
    GUARDED,
    ORDERS,
    REPORTS,
    RESERVE,
    START,
    TRADING,
    Entry,
    group_of,
    reports_of,
    shown,
)
from tests.simulation.oracle.site import REASONS_HIDDEN, Site

PATHS: Final = ("none", "udp", "grpc")


class Entries:
    """Those of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._groups = Groups(site)

    def take(self, entries: list[Entry], tick: int, now: float) -> None:
        """These are durable now."""
        site = self._site
        site.commits += 1
        # One commit at a time: orderd has taken notice of the last one, and perhaps not of this one yet.
        site.sure_rows, site.sure_executions = max(site.sure_rows, len(site.rows)), site.executions
        site.trading.begin(site.commits)
        for kind, payload in entries:
            if kind in (ORDERS, AGED, GUARDED):
                self._groups.take(group_of(kind, payload), tick, now)
            elif kind == REPORTS:
                self._take_reports(payload, tick, now)
            elif kind == START:
                self._take_start(payload, now)
            elif kind in (TRADING, ACCOUNT_TRADING):
                account = int.from_bytes(payload[1:3], "little") if kind == ACCOUNT_TRADING else None
                site.trading.said(account, payload[0])
            elif kind == RESERVE:
                after = int.from_bytes(payload, "little")
                if after < site.reserved:
                    raise Contradiction("reserve", f"{site.name}: numbers up to {after} after those to {site.reserved}")
                site.reserved = after
            elif kind == GUARD_END:
                guards.take_end(site, int.from_bytes(payload, "little"), now)
        site.trading.end()
        if not site.has_started:
            raise Contradiction("epoch", f"{site.name} commits at {now:.6f}, and has not journaled its start")
        if site.limits.unconfirmed_max and len(site.rows) > site.limits.unconfirmed_max:
            self._check_unconfirmed(now)

    def _check_unconfirmed(self, now: float) -> None:
        site = self._site
        first = len(site.rows) - site.limits.unconfirmed_max
        if not site.rows[first - 1].applied_tick:
            raise Contradiction(
                "bounds",
                f"{site.name}: {site.limits.unconfirmed_max} records and more are not confirmed at {now:.6f}, "
                f"from {first} to {len(site.rows)}",
            )

    def _take_start(self, payload: bytes, now: float) -> None:
        site = self._site
        epoch, nonce = int.from_bytes(payload[:4], "little"), int.from_bytes(payload[4:12], "little")
        if epoch <= site.epoch:
            raise Contradiction("epoch", f"{site.name} starts at {now:.6f} with epoch {epoch} after {site.epoch}")
        site.epoch = site.nonces[nonce] = epoch
        site.has_started = True
        site.sure_rows, site.sure_executions = len(site.rows), site.executions

    def _take_reports(self, payload: bytes, tick: int, now: float) -> None:
        site = self._site
        first, path, found = reports_of(payload)
        where = f"{site.name} journals reports {first} to {first + len(found) - 1} at {now:.6f}"
        if first != site.journaled + 1:
            raise Contradiction("reports", f"{where}, behind {site.journaled}")
        expected = site.reports[first - 1 : first - 1 + len(found)]
        if found != expected:
            at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
            said = shown(expected[at]) if at < len(expected) else "nothing: the engine has not committed that"
            raise Contradiction("reports", f"{where}; {first + at} is {shown(found[at])}, and the model has {said}")
        for report, state in zip(found, site.states[first - 1 : first - 1 + len(found)], strict=True):
            if report[0] not in REASONS_HIDDEN:
                site.executions += 1
            if report[3] and not site.rows[report[9] - 1].states:
                site.rows[report[9] - 1].heard = len(site.rows)
            if state > 0:
                row = site.rows[report[8] - 1]
                row.note_known(tick, state)
                site.trading.heard(row, row.states[row.journaled], row.states[state])
                row.journaled = state
                if row.done:
                    row.heard = len(site.rows)
                if state == 1:
                    row.path = PATHS[path]
        site.journaled += len(found)
