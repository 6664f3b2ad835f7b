"""The records of random batches, mostly as they should be. Pure."""

from typing import TYPE_CHECKING, Final

from orderd.wire.extensions import numbered, pack
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    RECORD,
    STP_SHIFT,
    TIF_SHIFT,
    Attribute,
    Kind,
    Side,
    TimeInForce,
    mass_flags,
)
from tests.simulation.markets import Known

if TYPE_CHECKING:
    from tests.simulation.workload import Workload

_KINDS: Final = ("new", "cancel", "replace", "mass")


def batch_records(workload: "Workload") -> bytes:
    """A batch's records: orders, and what acts on orders of this and of other batches and of clients."""
    rng, shape = workload.rng, workload.shape
    count = 1 + int(rng.random() ** 2 * shape.batch_records)
    all_new = rng.random() < 0.4
    records = []
    for _ in range(count):
        kind = "new" if all_new else rng.choices(_KINDS, (60, 15, 20, 1))[0]
        if kind == "new":
            records.append(new_record(workload))
        elif kind == "mass":
            records.append(_mass_record(workload))
        else:
            records.append(_request_record(workload, kind))
    return b"".join(records)


def new_record(workload: "Workload", number: int = 0) -> bytes:
    """An order with its extensions, under a number of its own unless one is given."""
    rng, shape, market = workload.rng, workload.shape, workload.market()
    sell, lots = rng.random() < 0.5, workload.lots()
    price, flags = workload.ticks(market, sell=sell), int(sell)
    said: list[tuple[Attribute, int]] = []
    tif = TimeInForce.DAY
    if rng.random() < shape.market:
        price, flags = 0, flags | FLAG_MARKET
        tif = rng.choice((TimeInForce.DAY, TimeInForce.IOC)) if rng.random() < shape.tif else tif
    elif rng.random() < shape.gtd:
        tif = TimeInForce.GTD
        said.append((Attribute.EXPIRY, workload.soon_ns()))
    elif rng.random() < shape.tif:
        tif = rng.choice((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))
    rests = price != 0 and tif in (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD)
    if rests and rng.random() < shape.stop:
        said.append((Attribute.TRIGGER, workload.ticks(market)))
    elif rests and rng.random() < shape.postonly:
        flags |= FLAG_POST_ONLY
    elif tif is not TimeInForce.FOK and rng.random() < shape.minqty:
        said.append((Attribute.MINIMUM, rng.randint(1, lots)))
    if rests and rng.random() < shape.display:
        said.append((Attribute.DISPLAY, rng.randint(1, lots)))
    if rng.random() < shape.stp:
        flags |= rng.randrange(4) << STP_SHIFT
    if not number:
        number = workload.number()
        workload.remember(Known(b"%d" % number, market, number))
    record = RECORD.pack(number, price, lots, market.id, workload.account(), Kind.NEW, flags | tif << TIF_SHIFT)
    return numbered(pack(market.id, said), number) + record


def _request_record(workload: "Workload", kind: str) -> bytes:
    rng, known = workload.rng, workload.order()
    # A text id has no number that a record could name: this one is not there.
    number, market = known.number or 1 + rng.randrange(9), known.market
    # The wrong instrument now and then: the engine refuses that.
    instrument = market.id if rng.random() < 0.98 else 3 - market.id
    if kind == "cancel":
        return RECORD.pack(number, 0, 0, instrument, 0, Kind.CANCEL, 0)
    which = Kind.REPLACE_OPEN if rng.random() < 0.4 else Kind.REPLACE
    return RECORD.pack(number, workload.ticks(market), workload.lots(), instrument, 0, which, 0)


def _mass_record(workload: "Workload") -> bytes:
    rng, market = workload.rng, workload.market()
    side = rng.choice((None, Side.BUY, Side.SELL))
    of_market, of_account = rng.random() < 0.6, rng.random() < 0.5
    flags = mass_flags(side, instrument=of_market, account=of_account)
    account = workload.account() if of_account else 0
    return RECORD.pack(0, 0, 0, market.id if of_market else 0, account, Kind.MASS_CANCEL, flags)
