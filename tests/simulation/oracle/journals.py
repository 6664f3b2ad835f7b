"""What a journal has taken, and whether it gives exactly that back."""

import attrs

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.records import AGED, GUARDED, ORDERS, Entry


@attrs.define(eq=False)
class JournalHistory:
    """Of one machine: all entries for which a commit has returned.

    A commit that a crash cut short may be there at the next start, or not. What is there counts once the commit of that
    start has returned: before that nobody was told anything by the new life.
    """

    who: str
    entries: list[Entry] = attrs.field(factory=list)
    unsure: list[Entry] = attrs.field(factory=list)
    """Found by a replay, from a commit that had not returned."""

    def committed(self, entries: list[Entry]) -> list[Entry]:
        """These are there for good; returns what was found at the start, and counts from now on, too."""
        found, self.unsure = self.unsure, []
        self.entries += found + entries
        return found

    def replayed(self, first: int, entries: list[Entry], now: float) -> None:
        """A start has read them, ``first`` lie before."""
        known = self.entries[first:]
        if entries[: len(known)] != known:
            at = next((i for i, (a, b) in enumerate(zip(known, entries, strict=False)) if a != b), len(entries))
            found = f"kind {entries[at][0]}, {entries[at][1].hex()}" if at < len(entries) else "nothing"
            raise Contradiction(
                "journal",
                f"{self.who} started at {now:.6f} and read back {len(entries)} entries behind {first}, where "
                f"{len(self.entries)} had been committed: entry {first + at} was kind {known[at][0]}, "
                f"{known[at][1].hex()}, and is {found}",
            )
        self.unsure = entries[len(known) :]
        groups = [kind for kind, _ in self.unsure if kind in (ORDERS, AGED, GUARDED)]
        if self.who != "engine" and len(groups) > 1:
            raise Contradiction(
                "journal",
                f"{self.who} started at {now:.6f} and read back {len(groups)} groups of orders behind the last commit "
                "that had returned: there is one commit at a time, and one group in it",
            )

    def rolled_back(self, kept: int) -> None:
        """Only so many are still there, and that is as it has to be."""
        del self.entries[kept:]
        self.unsure = []
