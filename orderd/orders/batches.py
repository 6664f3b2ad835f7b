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
    held: int = 1
    """Reasons to remember it: one until the table's base has passed all of it, and each order that is kept then."""

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
    """Batches by id, remembered as long as one of their rows is.

    The table's base passes rows in order; those that are still open then it keeps, and says so (:meth:`keep`), until
    each is done and forgotten, too (:meth:`forgotten`). So a batch of which an order is open is answered from for as
    long as the order's own id is, and no more batches are remembered than rows.
    """

    def __init__(self) -> None:
        self._by_id: dict[bytes, Batch] = {}
        self._remembered: deque[Batch] = deque()
        """Those that the base has not passed."""
        self._kept: dict[int, Batch] = {}
        """Of orders before the base that are kept: the batch that each is in."""
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
        """The base has come to ``base``: rows below it are forgotten, but for those that are kept."""
        while self._remembered and self._remembered[0].end <= base:
            batch = self._remembered.popleft()
            if self._unconfirmed and self._unconfirmed[0] is batch:
                self._unconfirmed.popleft()
            self._release(batch)

    def keep(self, order_id: int) -> None:
        """The base passes an order that is not done: it is kept until :meth:`forgotten`. Such orders ascend."""
        self.forget(order_id)
        if self._remembered and self._remembered[0].first <= order_id:
            batch = self._kept[order_id] = self._remembered[0]
            batch.held += 1

    def forgotten(self, order_id: int) -> None:
        """The row is forgotten."""
        batch = self._kept.pop(order_id, None)
        if batch is not None:
            self._release(batch)

    def _release(self, batch: Batch) -> None:
        batch.held -= 1
        # Its id may be that of a newer one: journals of older versions have such batches.
        if not batch.held and self._by_id.get(batch.batch_id) is batch:
            del self._by_id[batch.batch_id]
