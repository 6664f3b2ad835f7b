"""Guards of one orderd: what they hold does not outlive those who wanted that (docs/GUARDS.md).

Rules: a guard ends once, and not before each of its orders is done or its cancel is journaled, unless it was released;
in the end nothing that was guarded is open.
"""

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.rows import Row
from tests.simulation.oracle.said import NEW
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Connection


def take_end(site: Site, guard: int, now: float) -> None:
    """The end of a guard is journaled."""
    what = f"{site.name}: guard {guard:#x}"
    if site.guards_ended.setdefault(guard, site.commits) != site.commits:
        raise Contradiction("guards", f"{what} ends twice, at {now:.6f}")
    for row in _left(site):
        if row.guard == guard and not row.is_asked_back and not _is_released(site, row):
            raise Contradiction("guards", f"{what} ends at {now:.6f}; order {row} is open, and no cancel is journaled")


def check_all(site: Site) -> None:
    """It is over, and all connections are gone."""
    for row in _left(site):
        if row.guard not in site.guards_ended or not _is_released(site, row):
            numbers = [one.number for one in _by(site, row)]
            raise Contradiction(
                "guards", f"{site.name}: order {row} is open in the end; it is in guard {row.guard:#x} of one of the "
                f"connections {numbers}, which are gone",
            )  # fmt: skip


def _left(site: Site) -> list[Row]:
    """Guarded orders that are open."""
    return [row for row in site.rows if row.guard and row.kind == NEW and row.is_open]


def _is_released(site: Site, row: Row) -> bool:
    """Whether somebody who may have placed it has asked that guarded orders be let go."""
    return any(one.may_release for one in _by(site, row))


def _by(site: Site, row: Row) -> list[Connection]:
    """Who may have placed it."""
    origins = [o for o in site.talk.origins.values() if row.order_id - len(row.extensions) in o.rows]
    if row.batch is not None:
        origins = [o for o in site.talk.origins.values() if o.key[0] == b"batch" and row.batch.first in o.rows]
    return [one.connection for origin in origins for one in origin.attempts]
