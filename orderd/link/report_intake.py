"""Reports on their way in at orderd: put in order, each number delivered once."""

import attrs

from orderd.wire.reports import check_items, skip_reports


@attrs.frozen
class Delivery:
    """Report items that follow all those delivered before. ``first`` is the number of their first logical report."""

    first: int
    items: bytes
    reports: int


class ReportIntake:
    """Parks what comes early, within ``parked_bytes_max``; what does not fit is dropped and asked for again."""

    def __init__(self, wanted: int, parked_bytes_max: int) -> None:
        self.wanted = wanted
        """Number of the next report to deliver."""
        self.known = wanted
        """The engine has reports below this number."""
        self._parked: dict[int, tuple[int, bytes]] = {}
        self._parked_bytes = 0
        self._parked_bytes_max = parked_bytes_max

    @property
    def missing(self) -> int:
        """How many reports are needed before what is parked, or before all that the engine has, can be delivered."""
        return (min(self._parked) if self._parked else self.known) - self.wanted

    @property
    def has_hole(self) -> bool:
        """Whether later reports arrived before the wanted one."""
        return bool(self._parked)

    def receive(self, first: int, items: bytes, report_next: int, reports: int | None = None) -> list[Delivery]:
        """Well-formed ``items`` numbered from ``first``: what can be delivered now, in order.

        ``reports`` is how many logical reports they are, if the caller knows.
        """
        self.known = max(self.known, report_next)
        if items:
            if reports is None:
                reports = check_items(items)[1]
            if first == self.wanted and not self._parked:
                self.wanted = first + reports
                self.known = max(self.known, self.wanted)
                return [Delivery(first, items, reports)]
            self._park(first, items, reports)
        deliveries = []
        while self._parked:
            first = min(self._parked)
            if first > self.wanted:
                break
            count, items = self._parked.pop(first)
            self._parked_bytes -= len(items)
            if first + count > self.wanted:
                if first < self.wanted:
                    items = skip_reports(items, self.wanted - first)
                deliveries.append(Delivery(self.wanted, items, first + count - self.wanted))
                self.wanted = first + count
        self.known = max(self.known, self.wanted)
        return deliveries

    def _park(self, first: int, items: bytes, reports: int) -> None:
        if first + reports <= self.wanted:
            return
        if first > self.wanted and self._parked_bytes + len(items) > self._parked_bytes_max:
            return
        held = self._parked.get(first)
        if held is not None:
            if held[0] >= reports:
                return
            self._parked_bytes -= len(held[1])
        self._parked[first] = (reports, items)
        self._parked_bytes += len(items)
