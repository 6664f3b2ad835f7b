"""The largest datagrams that a path carries, each way for itself. Pure: the caller tells whether a size gets through.

This is path MTU discovery by trial, as RFC 8899 has it for datagrams: it works where the ICMP messages of RFC 1191,
which would tell the size, are filtered out.
"""

from collections.abc import Callable

import attrs

from orderd.wire.frames import DATAGRAM_BYTES_MAX
from orderd.wire.probes import PROBE_BYTES_MIN

Passes = Callable[[int, int, bool], bool]
"""Whether a datagram of the first size is answered by one of the second; true: be patient, the answer decides."""


@attrs.frozen
class Sizes:
    """Bytes of UDP payload. ``wanted`` is what was asked for; the other two are at most that, unless all went well."""

    wanted: int
    to_engine: int
    to_orderd: int
    path_mtu: int
    """What this machine believes that IP packets may have, headers included; 0 if it does not tell."""
    refused_here: bool = False
    """Whether this machine would not even send the wanted size in one packet."""

    @property
    def usable(self) -> int:
        """What gets through both ways."""
        return min(self.to_engine, self.to_orderd)


def largest(passes: Callable[[int], bool], low: int, high: int) -> int:
    """The largest size from ``low``, which passes, to below ``high``, which does not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def find_sizes(passes: Passes, wanted: int, ceiling: int) -> tuple[int, int]:
    """The largest sizes to the engine and back. Datagrams of :data:`PROBE_BYTES_MIN` are known to pass.

    ``ceiling`` is what this machine thinks fits into one packet: tried first where it decides, and as a bonus where
    ``wanted`` is less.
    """
    ceiling = max(PROBE_BYTES_MIN, min(ceiling, DATAGRAM_BYTES_MAX))
    if passes(wanted, wanted, True):
        more = ceiling > wanted and passes(ceiling, ceiling, False)
        return (ceiling, ceiling) if more else (wanted, wanted)
    there = _way(lambda size, patient: passes(size, PROBE_BYTES_MIN, patient), wanted, ceiling)
    back = _way(lambda size, patient: passes(there, size, patient), there, ceiling)
    return there, back


def _way(passes: Callable[[int, bool], bool], wanted: int, ceiling: int) -> int:
    if wanted == PROBE_BYTES_MIN or passes(wanted, True):
        return wanted
    low, high = PROBE_BYTES_MIN, wanted
    if low < ceiling < high and passes(ceiling, True):
        low = ceiling
    while True:
        low = largest(lambda size: passes(size, False), low, high)
        # An answer that only came late on the way to here must not make the path narrower than it is.
        if low + 1 == high or not passes(low + 1, True):
            return low
        low += 1
