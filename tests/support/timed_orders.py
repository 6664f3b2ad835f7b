"""Records of orders that time ends, and what their reports say of it."""

from orderd.wire.records import RECORD, Attribute, Kind, Side, TimeInForce
from orderd.wire.reports import ExecType, Report
from tests.support.matching import INSTRUMENT, limit


def gtd(
    number: int, side: Side, quantity: int, price: int, expiry_ns: int, instrument: int = INSTRUMENT
) -> tuple[bytes, bytes]:
    """A limit order until ``expiry_ns``: two records, the extension and the NEW."""
    extension = RECORD.pack(number, 0, expiry_ns, instrument, 0, Kind.EXTENSION, Attribute.EXPIRY)
    return extension, limit(number, side, quantity, price, TimeInForce.GTD, instrument)


def expiries(reports: list[Report]) -> list[tuple[int, str]]:
    """Number and reason of each order that expired; checks what is the same for all."""
    found = [report for report in reports if report.exec_type is ExecType.EXPIRED]
    assert all((report.input, report.final, report.leaves_qty) == (0, False, 0) for report in found)
    return [(report.number, report.reason.name) for report in found]
