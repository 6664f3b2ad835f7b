"""Commands that are wrong, each of which must be answered by an error and leave nothing behind. Pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orderd.wire.records import RECORD, TEXT_NUMBER, Kind
from tests.simulation.intents import Intent, Words
from tests.simulation.intents import Kind as IntentKind
from tests.simulation.random_batches import new_record

if TYPE_CHECKING:
    from tests.simulation.workload import Workload

_ORDER: Final[tuple[Words, ...]] = (
    (b"AAPL", b"BUY", b"0", b"LIMIT", b"100.00"), (b"AAPL", b"BUY", b"-1", b"LIMIT", b"100.00"),
    (b"AAPL", b"BUY", b"1", b"LIMIT", b"100.001"), (b"AAPL", b"BUY", b"1.5", b"LIMIT", b"100.00"),
    (b"AAPL", b"BUY", b"1", b"LIMIT", b"0"), (b"AAPL", b"BUY", b"1", b"LIMIT", b"1e2"),
    (b"AAPL", b"BUY", b"1", b"LIMIT", b"nan"), (b"AAPL", b"BUY", b"9223372036854775808", b"LIMIT", b"100.00"),
    (b"AAPL", b"BUY", b"1", b"LIMIT", b"92233720368547758.08"), (b"aapl", b"BUY", b"1", b"LIMIT", b"100.00"),
    (b"AAPL", b"HOLD", b"1", b"LIMIT", b"100.00"), (b"AAPL", b"BUY", b"1", b"STOP", b"100.00"),
    (b"AAPL", b"BUY", b"1", b"LIMIT"), (b"BTC", b"SELL", b"0.0005", b"LIMIT", b"30000.0"),
    (b"BTC", b"SELL", b"0.001", b"LIMIT", b"30000.25"),
)  # fmt: skip
_OPTIONS: Final[tuple[Words, ...]] = (
    (b"TIF", b"GTX"), (b"TIF",), (b"TIF", b"GTD"), (b"GTD", b"1000"), (b"GTD", b"2031-01-01"), (b"PEGGED",),
    (b"POSTONLY", b"TIF", b"IOC"), (b"POSTONLY", b"MINQTY", b"1"), (b"DISPLAY", b"6"), (b"MINQTY", b"6"),
    (b"MINQTY", b"0"), (b"DISPLAY", b"1", b"TIF", b"FOK"), (b"STOP", b"100.00", b"TIF", b"IOC"), (b"STOP", b"x"),
    (b"ACCOUNT", b"65536"), (b"ACCOUNT", b"-1"), (b"MAXAGE", b"0"), (b"MODE", b"slow"), (b"STP", b"SOME"),
    (b"TIF", b"DAY", b"TIF", b"DAY"), (b"GTD", b"99999999999999", b"TIF", b"DAY"),
)  # fmt: skip
_OTHERS: Final[tuple[Words, ...]] = (
    (b"ORDER.CANCEL", b"nobody"), (b"ORDER.CANCEL", b"nobody", b"ID", b"has this"), (b"ORDER.CANCEL", b"t1", b"HARD"),
    (b"ORDER.REPLACE", b"nobody", b"1", b"100.00"), (b"ORDER.STATUS", b"nobody"), (b"ORDER.WAIT", b"nobody", b"5"),
    (b"ORDER.WAIT", b"t1", b"-5"), (b"ORDER.LIST", b"COUNT", b"0"), (b"ORDER.LIST", b"SOME"),
    (b"ORDER.MASSCANCEL", b"SYMBOL", b"IBM"), (b"ORDER.MASSCANCEL", b"SIDE", b"BOTH"), (b"ORDER.RESERVE", b"0"),
    (b"ORDER.BATCH", b"empty", b""), (b"EXEC.READ", b"-1"), (b"EXEC.READ", b"0", b"COUNT", b"0"), (b"EXEC.READ", b"x"),
    (b"BOOK", b"IBM"), (b"BOOK", b"AAPL", b"DEPTH", b"0"), (b"POSITIONS", b"ACCOUNT", b"x"), (b"TRADING", b"PAUSED"),
    (b"MODE", b"slow"), (b"CLIENT", b"DEADMAN", b"99"), (b"CLIENT", b"CANCELONDISCONNECT", b"MAYBE"),
    (b"SELECT", b"1"), (b"CLIENT", b"KILL", b"ID", b"x"),
)  # fmt: skip
_NO_COMMANDS: Final[tuple[Words, ...]] = (
    (b"ORDER.NEW",), (b"ORDER.STATUS",), (b"ORDER.FIND", b"t1"), (b"GET", b"t1"), (b"WATCH", b"t1"), (b"",),
    (b"ORDER.RESERVE",), (b"CONFIG", b"SET", b"mode", b"sync"), (b"\xff\x00",),
)  # fmt: skip
_NOT_IN_TRANSACTIONS: Final[tuple[Words, ...]] = ((b"EXEC",), (b"DISCARD",), (b"HELLO", b"9"))


def bad_command(workload: "Workload", *, in_transaction: bool = False) -> Intent:
    """One of all that there are; ``in_transaction`` it may follow MULTI."""
    rng = workload.rng
    makers: tuple[Callable[[Workload], Intent], ...] = (
        _bad_order, _bad_order, _bad_options, _bad_options, _bad_id, _bad_batch, _known_order, _known_batch,
    )  # fmt: skip
    which = rng.randrange(len(makers) + 4)
    if which < len(makers):
        return makers[which](workload)
    if which == len(makers) and not in_transaction:
        return _wrong(rng.choice(_NOT_IN_TRANSACTIONS))
    return _wrong(rng.choice(_NO_COMMANDS if which == len(makers) + 1 else _OTHERS))


def _wrong(words: Words) -> Intent:
    return Intent(IntentKind.QUERY, words, must_fail=True)


def _bad_order(workload: "Workload") -> Intent:
    return _wrong((b"ORDER.NEW", b"w%d" % workload.serial(), *workload.rng.choice(_ORDER)))


def _bad_options(workload: "Workload") -> Intent:
    plain = (b"AAPL", b"SELL", b"5", b"LIMIT", b"100.03")
    return _wrong((b"ORDER.NEW", b"w%d" % workload.serial(), *plain, *workload.rng.choice(_OPTIONS)))


def _bad_id(workload: "Workload") -> Intent:
    cl_ord_id = workload.rng.choice((b"", b"x" * 65, b"a b", b"a\n", b"\xc3\xa9", b"\x7f"))
    return _wrong((b"ORDER.NEW", cl_ord_id, b"AAPL", b"BUY", b"1", b"LIMIT", b"100.00"))


def _bad_batch(workload: "Workload") -> Intent:
    rng = workload.rng
    good = new_record(workload)
    faults = (
        good[:-1],
        good + b"\0",
        RECORD.pack(TEXT_NUMBER, 10_000, 1, 1, 0, Kind.NEW, 0),
        RECORD.pack(1, 10_000, 1, 9, 0, Kind.NEW, 0),
        RECORD.pack(1, 0, 1, 1, 0, Kind.NEW, 0),
        RECORD.pack(1, -1, 1, 1, 0, Kind.NEW, 0),
        RECORD.pack(1, 10_000, 0, 1, 0, Kind.NEW, 0),
        RECORD.pack(1, 10_000, 1, 1, 0, Kind.VOID, 0),
        RECORD.pack(1, 10_000, 1, 1, 0, 7, 0),
        RECORD.pack(1, 5, 0, 1, 0, Kind.CANCEL, 0),
        RECORD.pack(1, 0, 1, 1, 0, Kind.EXTENSION, 2),
        RECORD.pack(1, 10_000, 1, 1, 0, Kind.NEW, 7 << 2),
    )
    fault = rng.choice(faults)
    # Both ends of it are orders that fit; they must not be taken either.
    records = fault if rng.random() < 0.5 else new_record(workload) + fault
    return _wrong((b"ORDER.BATCH", b"w%d" % workload.serial(), records))


def _known_order(workload: "Workload") -> Intent:
    """Another order under an id that is taken, most likely; if not, it is an order like any other."""
    known, rng = workload.order(), workload.rng
    if rng.random() < 0.3:
        request_id = workload.order().cl_ord_id
        return Intent(IntentKind.REQUEST, (b"ORDER.CANCEL", known.cl_ord_id, b"ID", request_id), known.cl_ord_id)
    market = known.market
    quantity, price = market.quantity(1000 + workload.serial()), market.price(market.base - 100)
    words = (b"ORDER.NEW", known.cl_ord_id, market.symbol, b"BUY", quantity, b"LIMIT", price)
    return Intent(IntentKind.ORDER, words, known.cl_ord_id)


def _known_batch(workload: "Workload") -> Intent:
    """Other records under a batch id that is taken, or a number that is, most likely; if not, just a batch."""
    rng = workload.rng
    numbers = [known.number for known in workload.orders[-20:] if known.number]
    if workload.batches and rng.random() < 0.5:
        batch_id = rng.choice(workload.batches[-20:]).words[1]
        return Intent(IntentKind.BATCH, (b"ORDER.BATCH", batch_id, new_record(workload)))
    if numbers:
        records = new_record(workload) + new_record(workload, rng.choice(numbers))
        return Intent(IntentKind.BATCH, (b"ORDER.BATCH", b"k%d" % workload.serial(), records))
    return _bad_batch(workload)
