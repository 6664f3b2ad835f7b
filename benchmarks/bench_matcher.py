"""Rates of the matcher alone, reports included: plain resting orders, a mixed flow, and trades.

Run as ``python -m benchmarks.bench_matcher [records]``. One thread, no journal, no network; records arrive in groups as
they do from frames. Flows come from a seeded generator, so that two runs measure the same work. Each flow is measured
with Python's cycle collector off and on: orders that rest make it walk ever more objects, and the matcher leaves no
cycles for it to find.
"""

import gc
import random
import sys
import time
from collections.abc import Callable

from engine.matcher import Matcher
from orderd.link.report_log import ReportLog
from orderd.wire.records import RECORD, RECORD_BYTES, Kind, Side, TimeInForce, new_flags

GROUP_RECORDS = 44
"""Records of one frame on Ethernet."""

INSTRUMENT = 1
_BUY = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.DAY)
_SELL = new_flags(Side.SELL, market=False, time_in_force=TimeInForce.DAY)


def resting_flow(count: int) -> bytes:
    """Orders on both sides of a wide spread, over 400 levels."""
    chance = random.Random(1)
    records = bytearray()
    for number in range(1, count + 1):
        sell = number & 1
        price = 10_200 + chance.randrange(200) if sell else 9_999 - chance.randrange(200)
        records += RECORD.pack(number, price, 100, INSTRUMENT, 0, Kind.NEW, _SELL if sell else _BUY)
    return bytes(records)


def mixed_flow(count: int) -> bytes:
    """What markets send: about half new orders, two fifths cancels, some replaces; one new order in ten trades."""
    chance = random.Random(2)
    records = bytearray()
    live: list[int] = []
    for number in range(1, count + 1):
        draw = chance.random()
        if draw < 0.5 or not live:
            sell = chance.randrange(2)
            away = chance.randrange(1, 60) if chance.random() < 0.9 else -2
            price = 10_000 + away if sell else 10_000 - away
            quantity = 100 if away > 0 else 150
            records += RECORD.pack(number, price, quantity, INSTRUMENT, 0, Kind.NEW, _SELL if sell else _BUY)
            live.append(number)
            continue
        at = chance.randrange(len(live))
        live[at], live[-1] = live[-1], live[at]
        if draw < 0.9:
            records += RECORD.pack(live.pop(), 0, 0, INSTRUMENT, 0, Kind.CANCEL, 0)
        else:
            price = 10_000 + chance.randrange(-30, 30)
            records += RECORD.pack(live[-1], price, 120, INSTRUMENT, 0, Kind.REPLACE, 0)
    return bytes(records)


def trading_flow(count: int) -> bytes:
    """Each second order fills the one before it: a trade for every two records."""
    records = bytearray()
    for number in range(1, count + 1):
        flags = _BUY if number & 1 else _SELL
        records += RECORD.pack(number, 10_000, 100, INSTRUMENT, 0, Kind.NEW, flags)
    return bytes(records)


def measure(records: bytes) -> tuple[float, int]:
    """Seconds for a fresh matcher to execute ``records``, and how many reports it gave."""
    matcher = Matcher([INSTRUMENT])
    log = ReportLog()
    session = matcher.open_session(1, log)
    step = GROUP_RECORDS * RECORD_BYTES
    groups = [records[at : at + step] for at in range(0, len(records), step)]
    gc.collect()
    first = 1
    start = time.perf_counter()
    for group in groups:
        matcher.apply(session, first, group, 1)
        first += GROUP_RECORDS
    return time.perf_counter() - start, log.next - 1


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 200_000
    flows: tuple[Callable[[int], bytes], ...] = (resting_flow, mixed_flow, trading_flow)
    for flow in flows:
        records = flow(count)
        for collector in ("off", "on"):
            gc.disable() if collector == "off" else gc.enable()
            seconds, reports = min(measure(records) for _ in range(3))
            rates = f"{count / seconds:11,.0f} records/s {reports / seconds:11,.0f} reports/s"
            print(f"{flow.__name__:13} collector {collector:3} {rates}")


if __name__ == "__main__":
    main()
