"""What is guarded for which connection, and who has been silent for too long. Pure.

A connection is guarded while ``CLIENT CANCELONDISCONNECT`` is on or ``CLIENT DEADMAN`` has a time, or both: the orders
that it places meanwhile are in its guard (:mod:`orderd.orders.guards`). The guard is withdrawn when the connection
ends, for whatever reason, and when a dead man's time passes without a command; the connection stays then, and what it
places next is in a new guard. It is released when the last of the two is turned off.
"""

import heapq
from math import inf
from typing import Final

from orderd.intake.context import Client
from orderd.orders.desk import Desk

COMPACT_AFTER: Final = 1024


class Guarding:
    """The guards of those who are connected."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._deadlines: list[tuple[float, int, Client]] = []  # when to look at whom, with a number to tell them apart
        self._entries = 0
        self._compact_at = COMPACT_AFTER

    def change(self, client: Client, *, cancel_on_disconnect: bool, deadman_ms: int, now: float) -> bool:
        """What ``client`` asks for from now on; ``now`` in seconds.

        Whether orders are released, as nothing is on any more: that is told when it is durable.
        """
        client.cancel_on_disconnect, client.heard_at = cancel_on_disconnect, now
        client.deadman_ms = deadman_ms
        self._watch(client)
        guard = client.owner.guard
        if cancel_on_disconnect or deadman_ms:
            client.owner.guard = guard or self._desk.guards.begin()
        elif guard is not None:
            client.owner.guard = None
            return self._desk.release(guard)
        return False

    def end(self, client: Client) -> bool:
        """The connection has ended or begins anew; whether orders are to be cancelled."""
        client.cancel_on_disconnect, client.deadman_ms, client.deadman_at = False, 0, inf
        client.is_silent = False
        guard, client.owner.guard = client.owner.guard, None
        return guard is not None and self._desk.guards.withdraw(guard)

    def next_deadline(self) -> float:
        """When somebody may have been silent for too long; infinite if nobody can."""
        return self._deadlines[0][0] if self._deadlines else inf

    def silent(self, now: float) -> list[Client]:
        """Those whose time is over: for each say :meth:`fire`, or :meth:`hear` if it did say something."""
        found = []
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, _, client = heapq.heappop(self._deadlines)
            if client.deadman_at != deadline:
                continue  # another entry counts
            client.deadman_at = inf
            if client.is_busy:
                client.heard_at = now
            if client.deadman_ms and client.heard_at + client.deadman_ms / 1000 <= now:
                found.append(client)
            else:
                self._watch(client)
        return found

    def hear(self, client: Client, now: float) -> None:
        """It said something that is not read yet."""
        client.heard_at = now
        self._watch(client)

    def fire(self, client: Client) -> bool:
        """It was silent for too long; whether orders are to be cancelled. Its next command arms it again."""
        client.is_silent = True
        guard = client.owner.guard
        client.owner.guard = self._desk.guards.begin()
        return guard is not None and self._desk.guards.withdraw(guard)

    def arm(self, client: Client, now: float) -> None:
        """A command after silence."""
        client.is_silent = False
        client.heard_at = now
        self._watch(client)

    def _watch(self, client: Client) -> None:
        """Look at it when its time would be over; only the last entry of a client counts."""
        client.deadman_at = inf
        if client.deadman_ms and not client.is_silent:
            client.deadman_at = client.heard_at + client.deadman_ms / 1000
            self._entries += 1
            heapq.heappush(self._deadlines, (client.deadman_at, self._entries, client))
            if len(self._deadlines) >= self._compact_at:
                self._deadlines = [entry for entry in self._deadlines if entry[2].deadman_at == entry[0]]
                heapq.heapify(self._deadlines)
                self._compact_at = COMPACT_AFTER + 2 * len(self._deadlines)
