"""The reports of one session at the engine: numbered, in order, kept until orderd has them in its journal."""

from bisect import bisect_left, bisect_right

from orderd.wire import reports


class ReportLog:
    """Report items with the numbers of their logical reports.

    Items never change once added, so a number always names the same report, however often it is sent.
    """

    def __init__(self) -> None:
        self.next = 1
        """Number that the next report will get."""
        self.acknowledged = 1
        """All numbers below this one are acknowledged and gone."""
        self._bytes_added = 0
        self._firsts: list[int] = []
        self._offsets: list[int] = []  # in the stream of all items ever added
        self._items: list[bytes] = []

    def __len__(self) -> int:
        """Logical reports that are not acknowledged."""
        return self.next - self.acknowledged

    def add_range(self, order: int, count: int, transact_time_ns: int, *, final: bool) -> None:
        """NEW for each of ``count`` orders from sequence ``order`` on."""
        self._add(reports.encode_range(order, count, transact_time_ns, final=final), count)

    def add(self, item: bytes) -> None:
        """One report that is not a NEW, as a packed ``full`` item."""
        self._add(item, 1)

    def _add(self, item: bytes, count: int) -> None:
        self._firsts.append(self.next)
        self._offsets.append(self._bytes_added)
        self._items.append(item)
        self.next += count
        self._bytes_added += len(item)

    def acknowledge(self, upto: int) -> None:
        """orderd has journaled all reports below ``upto``. An acknowledgement of what was never told is ignored."""
        if not self.acknowledged < upto <= self.next:
            return
        self.acknowledged = upto
        # The item that holds `upto` stays whole: cutting a range would make two shapes of one report.
        gone = bisect_right(self._firsts, upto) - 1 if upto < self.next else len(self._items)
        if gone > 0:
            del self._firsts[:gone], self._offsets[:gone], self._items[:gone]

    def restore(self, first: int, data: bytes, next_: int, acknowledged: int) -> None:
        """Become a log that holds the items in ``data``, whose first report is number ``first``.

        These are what :meth:`read` tells from ``acknowledged`` on, without a bound. Raises ValueError, also
        :class:`~orderd.wire.errors.ReportError`, for what no log can hold.
        """
        _, count = reports.check_items(data)
        if first + count != next_ or not 1 <= first <= acknowledged <= next_ or (acknowledged < next_) != bool(data):
            raise ValueError(f"reports {first} to {first + count - 1} of {acknowledged} to {next_ - 1}")
        self.next, self.acknowledged = first, acknowledged
        for offset, length, logical in reports.iter_items(data):
            self._add(data[offset : offset + length], logical)
        if self._firsts and acknowledged >= (self._firsts[1] if len(self._firsts) > 1 else next_):
            raise ValueError("items that were acknowledged are still there")

    def bytes_below(self, upto: int) -> int:
        """Bytes of the kept items before the one that holds report ``upto``."""
        at = bisect_left(self._firsts, upto)
        if at == 0:
            return 0
        end = self._offsets[at] if at < len(self._offsets) else self._bytes_added
        return end - self._offsets[0]

    def read(self, first: int, bytes_max: int) -> tuple[int, int, bytes]:
        """``(number, items, data)``: whole items from the one that holds report ``first``, up to ``bytes_max`` bytes.

        ``number`` is the number of the first report in ``data``, at or below ``first``. Empty when there are none.
        """
        at = bisect_right(self._firsts, first) - 1
        at = max(at, 0)
        if first >= self.next or at >= len(self._items):
            return self.next, 0, b""
        end, size = at, 0
        while end < len(self._items) and size + len(self._items[end]) <= bytes_max:
            size += len(self._items[end])
            end += 1
        return self._firsts[at], end - at, b"".join(self._items[at:end])

    def after(self, first: int, items: int) -> int:
        """Number of the report behind ``items`` items from the one that begins with report ``first``."""
        at = bisect_left(self._firsts, first) + items
        return self._firsts[at] if at < len(self._firsts) else self.next
