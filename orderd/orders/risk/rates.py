"""Limits that time plays a part in: how many orders a second, and how often the same one. Pure; time is an argument.

*Rate* is a token bucket in the form of the generic cell rate algorithm (ITU-T I.371): all that is kept of an account is
when its bucket will be full again. *Repeats* counts equal orders in a window that slides with the clock.

Neither survives a restart: an account begins with a full bucket and without a past.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from orderd.orders.risk.holdings import Account
from orderd.orders.risk.limits import AccountLimits

SECOND_NS: Final = 1_000_000_000
REPEATS_KEPT_MAX: Final = 1_000_000
"""Orders in the windows of one set of limits; beyond, the oldest are forgotten before their time."""
EXPIRED_AT_ONCE: Final = 1024
"""Orders that left the window and are forgotten with each question: in a fraction of a millisecond."""


def left(account: Account, limits: AccountLimits, now_ns: int) -> int:
    """How many orders the bucket of ``account`` holds now. ``now_ns`` is on a clock that never goes back."""
    missing = max(account.spent_ns - now_ns, 0) * limits.orders_per_second
    return (limits.orders_burst * SECOND_NS - missing) // SECOND_NS


def spend(account: Account, limits: AccountLimits, orders: int, now_ns: int) -> None:
    """Take ``orders`` out of the bucket."""
    account.spent_ns = max(account.spent_ns, now_ns) + orders * SECOND_NS // limits.orders_per_second


class Repeats:
    """Orders of the last ``window_ms``, by what makes them equal (:func:`~orderd.orders.risk.flow.repeat_key`)."""

    def __init__(self, limits: AccountLimits) -> None:
        self.most = limits.repeats_max
        self._window_ns = limits.repeats_window_ms * 1_000_000
        self._counts: dict[int, int] = {}
        self._log: deque[tuple[int, int | list[int]]] = deque()
        self._kept = 0

    def seen(self, key: int, now_ns: int, others: int = 0) -> int:
        """How many equal ones were taken in during the window that ends now.

        Exact where they are too many with ``others`` on top; else some that left the window may be among them.
        """
        log = self._log
        if log and log[0][0] <= now_ns - self._window_ns:
            self._expire(now_ns, EXPIRED_AT_ONCE)
            if self._counts.get(key, 0) + others >= self.most:
                self._expire(now_ns, self._kept)
        return self._counts.get(key, 0)

    def fit(self, keys: list[int], others: Mapping[int, int], now_ns: int) -> bool:
        """Whether all of ``keys`` may come on top of those that were seen, and of ``others`` with their counts."""
        if self._is_late(now_ns):
            self._expire(now_ns, EXPIRED_AT_ONCE + 2 * len(keys))
            if not self._all_fit(keys, others):
                self._expire(now_ns, self._kept)
        return self._all_fit(keys, others)

    def _all_fit(self, keys: list[int], others: Mapping[int, int]) -> bool:
        counts = self._counts
        if not others and counts.keys().isdisjoint(keys) and (len(keys) <= self.most or len(set(keys)) == len(keys)):
            return True
        new = Counter(keys)
        return all(count + counts.get(key, 0) + others.get(key, 0) <= self.most for key, count in new.items())

    def add(self, key: int, now_ns: int) -> None:
        """One was taken in."""
        counts = self._counts
        counts[key] = counts.get(key, 0) + 1
        self._log.append((now_ns, key))
        self._kept += 1
        if self._kept > REPEATS_KEPT_MAX:
            self._drop(1)

    def add_all(self, keys: list[int], now_ns: int) -> None:
        """All of them were taken in."""
        counts = self._counts
        for key, count in Counter(keys).items():
            counts[key] = counts.get(key, 0) + count
        self._log.append((now_ns, keys))
        self._kept += len(keys)
        while self._kept > REPEATS_KEPT_MAX and len(self._log) > 1:
            self._drop(self._kept - REPEATS_KEPT_MAX)

    def _is_late(self, now_ns: int) -> bool:
        """Whether some that are counted left the window."""
        return bool(self._log) and self._log[0][0] <= now_ns - self._window_ns

    def _expire(self, now_ns: int, most: int) -> None:
        log, counts, left_before = self._log, self._counts, now_ns - self._window_ns
        while most > 0 and log and log[0][0] <= left_before:
            key = log[0][1]
            if type(key) is not int:
                most -= self._drop(most)
                continue
            # Orders that came alone, the usual case where time is short.
            log.popleft()
            left = counts[key] - 1
            if left:
                counts[key] = left
            else:
                del counts[key]
            self._kept -= 1
            most -= 1

    def _drop(self, most: int) -> int:
        """Forget up to ``most`` of those that came together, the oldest; how many."""
        counts, keys = self._counts, self._log[0][1]
        if isinstance(keys, int):
            self._log.popleft()
            keys = [keys]
        elif len(keys) > most:
            together, keys = keys, keys[-most:]
            del together[-most:]
        else:
            self._log.popleft()
        self._kept -= len(keys)
        if not self._kept:
            counts.clear()
            return len(keys)
        for key in keys:
            if counts[key] == 1:
                counts.pop(key)
            else:
                counts[key] -= 1
        return len(keys)
