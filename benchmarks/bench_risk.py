"""What the risk checks cost: nothing switched on, and every limit on.

Run as ``python -m benchmarks.bench_risk``. The checks and the counting alone, without parser, journal and engine; times
are of the processor, the best of several rounds.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from orderd.link.report_intake import Delivery
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.modes import Mode
from orderd.orders.risk.batches import check_batch
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.flow import Flow, flow_in_steps
from orderd.orders.risk.limits import AccountLimits, RiskLimits
from orderd.orders.risk.positions import Positions
from orderd.orders.table import OrderTable
from orderd.orders.trading import Trading
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import ExecType, OrderStatus, Report, encode_full

ORDERS: Final = 50_000
ROUNDS: Final = 5
BATCH: Final = 1000
ACCOUNTS: Final = 8
INSTRUMENTS: Final = 10
ALL_ON: Final = AccountLimits(
    Fraction(10**6), Fraction(10**9), Fraction(1, 10), 10**7, Fraction(10**9), Fraction(10**12), 10**7, 10**7, 10**6, 1
)
"""All on, none of them reached."""


def main() -> None:
    """Print microseconds of processor time for one order."""
    for title, limits in (("no limit", AccountLimits()), ("every limit", ALL_ON)):
        alone = min(_time_of(_alone, _checks(limits), _orders()) for _ in range(ROUNDS)) / ORDERS
        print(f"{title:12} {alone * 1e6:6.2f} us for an order of its own")
        for size in (44, BATCH, 32_000):
            batches = [_batch(start, size) for start in range(0, max(ORDERS, size), size)]
            bulk = min(_time_of(_in_batches, _checks(limits), batches) for _ in range(ROUNDS)) / (len(batches) * size)
            print(f"{'':12} {bulk * 1e6:6.2f} us for a record in a batch of {size}")
    later = min(_time_of(_count_later, _uncounted()) for _ in range(ROUNDS)) / ORDERS
    print(f"no limit     {later * 1e6:6.2f} us for an order that is counted later, when somebody asks")
    reports = [min(_time_of(_reports, _desk(), items) for _ in range(ROUNDS)) / ORDERS * 1e6 for items in _fills()]
    print(f"reports      {reports[0]:6.2f} us for a fill, applied to table and position")


def _checks(limits: AccountLimits) -> RiskChecks:
    instruments = InstrumentTable(Instrument(f"S{number}", number, "0.01", "1") for number in range(1, INSTRUMENTS + 1))
    checks = RiskChecks(instruments, Positions(OrderTable(10**7, lambda *_: None)), Trading())
    checks.apply(RiskLimits(limits, {}, dict.fromkeys(range(1, INSTRUMENTS + 1), 10_000)))
    return checks


def _orders() -> list[tuple[int, int, int, int, int]]:
    return [
        (i % ACCOUNTS, 1 + i % INSTRUMENTS, i & 1, 9_900 + i % 200, 1 + i % 97)
        for i in range(ORDERS)
    ]  # fmt: skip


def _batch(first: int, size: int) -> bytes:
    return b"".join(
        RECORD.pack(1 + i, 9_900 + i % 200, 1 + i % 97, 1 + i % INSTRUMENTS, i % ACCOUNTS, Kind.NEW, i & 1)
        for i in range(first, first + size)
    )


def _alone(checks: RiskChecks, orders: list[tuple[int, int, int, int, int]]) -> None:
    now = 100.0
    for account, instrument, side, price, quantity in orders:
        ticket = checks.check_new(account, instrument, side, price, quantity, 0, now)
        checks.took_new(1, account, instrument, side, price, quantity, now, ticket)
        now += 1e-5


def _in_batches(checks: RiskChecks, batches: list[bytes]) -> None:
    now = 100.0
    for records in batches:
        flow = None if checks.asks_nothing else _added_up(records)
        check_batch(checks, records, flow, 1, now)
        checks.took_batch(records, flow, 1, now)
        now += 1e-2


def _uncounted() -> Positions:
    table = OrderTable(10**7, lambda *_: None)
    positions = Positions(table)
    for start in range(0, ORDERS, BATCH):
        table.append(_batch(start, BATCH))
    return positions


def _count_later(positions: Positions) -> None:
    positions.settle()


def _added_up(records: bytes) -> Flow:
    steps = flow_in_steps(records)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            flow: Flow = end.value
            return flow


def _desk() -> Desk:
    instruments = InstrumentTable([Instrument("S1", 1, "0.01", "1")])
    desk = Desk(instruments, DeskLimits(orders_unconfirmed_max=10**7, orders_remembered_max=10**7), lambda: 2**40)
    records = b"".join(RECORD.pack(1 + i, 10_000, 2, 1, i % ACCOUNTS, Kind.NEW, i & 1) for i in range(ORDERS))
    for start in range(0, len(records), 32_000):
        desk.entry.place_draft(
            desk.entry.draft_batch(b"B%d" % start, records[start : start + 32_000]), Mode.BATCH, 1.0, 1
        )
    desk.take_entries()
    desk.committed()
    return desk


def _fills() -> list[bytes]:
    return [
        b"".join(
            encode_full(
                Report(
                    1,
                    ExecType.TRADE,
                    order,
                    0,
                    False,
                    1,
                    bool((order - 1) & 1),
                    status=OrderStatus.PARTIALLY_FILLED,
                    last_qty=1,
                    last_px=10_000 + order % 3,
                    cum_qty=1,
                    leaves_qty=1,
                    trade_id=order,
                )
            )
            for order in range(1, ORDERS + 1)
        )
    ]


def _reports(desk: Desk, items: bytes) -> None:
    desk.apply(Delivery(1, items, ORDERS), Path.UDP)


def _time_of(work: Callable[..., None], *args: object) -> float:
    before = time.process_time()
    work(*args)
    return time.process_time() - before


if __name__ == "__main__":
    main()
