"""Short ways to drive a matcher in tests: records by name, reports decoded."""

from engine.matcher import Matcher
from engine.orders import Session
from orderd.link.report_log import ReportLog
from orderd.wire.records import (
    FLAG_POST_ONLY,
    RECORD,
    RECORD_BYTES,
    STP_SHIFT,
    Attribute,
    Kind,
    SelfTradePrevention,
    Side,
    TimeInForce,
    mass_flags,
    new_flags,
)
from orderd.wire.reports import ExecType, Report, check_items, iter_reports

INSTRUMENT = 1
BUY, SELL = Side.BUY, Side.SELL


def limit(
    number: int, side: Side, quantity: int, price: int, tif: TimeInForce = TimeInForce.DAY, instrument: int = INSTRUMENT
) -> bytes:
    """A NEW limit order."""
    flags = new_flags(side, market=False, time_in_force=tif)
    return RECORD.pack(number, price, quantity, instrument, 0, Kind.NEW, flags)


def market(number: int, side: Side, quantity: int, tif: TimeInForce = TimeInForce.DAY) -> bytes:
    """A NEW market order."""
    flags = new_flags(side, market=True, time_in_force=tif)
    return RECORD.pack(number, 0, quantity, INSTRUMENT, 0, Kind.NEW, flags)


def order(
    number: int,
    side: Side,
    quantity: int,
    price: int | None,
    *,
    tif: TimeInForce = TimeInForce.DAY,
    post_only: bool = False,
    stp: SelfTradePrevention = SelfTradePrevention.NONE,
    account: int = 0,
    instrument: int = INSTRUMENT,
    trigger: int = 0,
    display: int = 0,
    minimum: int = 0,
    expiry_ns: int = 0,
) -> bytes:
    """A NEW of any sort, with its extensions before it: 0 says nothing. With no price it is a market order."""
    flags = new_flags(side, market=price is None, time_in_force=tif)
    flags |= (FLAG_POST_ONLY if post_only else 0) | stp << STP_SHIFT
    said = (
        (Attribute.TRIGGER, trigger), (Attribute.DISPLAY, display), (Attribute.MINIMUM, minimum),
        (Attribute.EXPIRY, expiry_ns),
    )  # fmt: skip
    records = [extension(number, attribute, value, instrument) for attribute, value in said if value]
    records.append(RECORD.pack(number, price or 0, quantity, instrument, account, Kind.NEW, flags))
    return b"".join(records)


def extension(number: int, attribute: int, value: int, instrument: int = INSTRUMENT) -> bytes:
    """An EXTENSION that fits, if attribute and value do."""
    price, quantity = (value, 0) if attribute == Attribute.TRIGGER else (0, value)
    return RECORD.pack(number, price, quantity, instrument, 0, Kind.EXTENSION, attribute)


def cancel(number: int, instrument: int = INSTRUMENT) -> bytes:
    """A CANCEL."""
    return RECORD.pack(number, 0, 0, instrument, 0, Kind.CANCEL, 0)


def replace(number: int, quantity: int, price: int, *, open_quantity: bool = False) -> bytes:
    """A REPLACE by total quantity, or by open quantity."""
    kind = Kind.REPLACE_OPEN if open_quantity else Kind.REPLACE
    return RECORD.pack(number, price, quantity, INSTRUMENT, 0, kind, 0)


def mass_cancel(side: Side | None = None, *, instrument: int | None = None, account: int | None = None) -> bytes:
    """A MASS_CANCEL; None for any."""
    flags = mass_flags(side, instrument=instrument is not None, account=account is not None)
    return RECORD.pack(0, 0, 0, instrument or 0, account or 0, Kind.MASS_CANCEL, flags)


def outline(reports: list[Report]) -> list[tuple[str, int, bool]]:
    """Exec type, sequence of the order, final."""
    return [(report.exec_type.name, report.order, report.final) for report in reports]


def told(reports: list[Report]) -> list[str]:
    """What was told but for EXTENDED: exec type, sequence of the order, what says most; * final, 0 no input."""
    out = []
    for r in reports:
        if r.exec_type is ExecType.EXTENDED:
            continue
        what = f"{r.exec_type.name} {r.order}"
        if r.exec_type is ExecType.TRADE:
            what += f" {r.last_qty}@{r.last_px} left {r.leaves_qty}"
        elif r.reason:
            what += f" {r.reason.name}"
        out.append(what + ("*" if r.final else "") + ("" if r.input else " 0"))
    return out


def trades(reports: list[Report]) -> list[tuple[int, int, int]]:
    """Number, lots and price of each fill of a maker."""
    return [(r.number, r.last_qty, r.last_px) for r in reports if r.exec_type is ExecType.TRADE and not r.taker]


class Trader:
    """One session at a matcher: numbers its records and remembers what it has already read of its reports."""

    def __init__(self, matcher: Matcher, session_id: int) -> None:
        self.matcher = matcher
        self.log = ReportLog()
        self.session: Session = matcher.open_session(session_id, self.log)
        self.next_sequence = 1
        self.next_report = 1

    def send(self, *records: bytes, now_ns: int = 1) -> list[Report]:
        """Execute records in one call; the reports that this session had not seen before."""
        data = b"".join(records)
        self.matcher.apply(self.session, self.next_sequence, data, now_ns)
        self.next_sequence += len(data) // RECORD_BYTES
        return self.read()

    def read(self) -> list[Report]:
        """Reports since the last read."""
        first, _, data = self.log.read(self.next_report, 2**60)
        check_items(data)
        assert first == self.next_report
        fresh = list(iter_reports(data, first))
        self.next_report = self.log.next
        return fresh


def new_matcher() -> tuple[Matcher, Trader, Trader]:
    """A matcher of one instrument with two sessions."""
    matcher = Matcher([INSTRUMENT])
    return matcher, Trader(matcher, 11), Trader(matcher, 22)
