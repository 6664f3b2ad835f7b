"""Clients' batches: what makes them idempotent, and how they came out."""

from collections import deque
from hashlib import blake2b
from typing import Final

import attrs
import numpy as np

from orderd.orders.entries import BatchMark

DIGEST_BYTES: Final = 16

Inputs = np.ndarray[tuple[int], np.dtype[np.int64]]


def digest_of(records: bytes) -> bytes:
    """Tells whether a batch that comes again is the same."""
    return blake2b(records, digest_size=DIGEST_BYTES).digest()


@attrs.define
class Batch:
    """``first`` is the order id of its first record, ``count`` is how many it has.

    Trades are those with one of its records as the taker.
    """

    batch_id: bytes
    digest: bytes
    first: int
    count: int
    rejected: int = 0
    trades: int = 0
    extensions: int = 0
    """Records that only say more about the next one."""

    @property
    def orders(self) -> int:
        """Records that are an order or a request of their own."""
        return self.count - self.extensions

    @property
    def end(self) -> int:
        return self.first + self.count

    def mark(self, group_first: int) -> BatchMark:
        """How the journal's group that begins with ``group_first`` records it."""
        return BatchMark(self.first - group_first, self.count, self.digest, self.batch_id)


class BatchLedger:
    """Batches by id, remembered as long as one of their rows may be."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, Batch] = {}
        self._remembered: deque[Batch] = deque()
        self._unconfirmed: deque[Batch] = deque()

    def find(self, batch_id: bytes) -> Batch | None:
        return self._by_id.get(batch_id)

    def add(self, batch: Batch) -> None:
        self._by_id[batch.batch_id] = batch
        self._remembered.append(batch)
        self._unconfirmed.append(batch)

    def count(self, input_: int, *, rejected: bool) -> None:
        """A record was rejected, or else traded as the taker. Reports come in the order of their inputs."""
        while self._unconfirmed and self._unconfirmed[0].end <= input_:
            self._unconfirmed.popleft()
        if self._unconfirmed and self._unconfirmed[0].first <= input_:
            batch = self._unconfirmed[0]
            batch.rejected += rejected
            batch.trades += not rejected

    @property
    def counts(self) -> bool:
        """Whether there is a batch that :meth:`count` might be about."""
        return bool(self._unconfirmed)

    def count_all(self, trades: Inputs, rejected: Inputs) -> None:
        """:meth:`count` for many records at once, both ascending."""
        last = max(int(inputs[-1]) if len(inputs) else 0 for inputs in (trades, rejected))
        while self._unconfirmed and self._unconfirmed[0].first <= last:
            batch = self._unconfirmed[0]
            bounds = batch.first, batch.end
            batch.trades += int(np.diff(np.searchsorted(trades, bounds))[0])
            batch.rejected += int(np.diff(np.searchsorted(rejected, bounds))[0])
            if batch.end > last:
                break
            self._unconfirmed.popleft()

    def forget(self, base: int) -> None:
        """Rows below ``base`` are forgotten."""
        while self._remembered and self._remembered[0].end <= base:
            batch = self._remembered.popleft()
            if self._by_id.get(batch.batch_id) is batch:
                del self._by_id[batch.batch_id]
            if self._unconfirmed and self._unconfirmed[0] is batch:
                self._unconfirmed.popleft()
