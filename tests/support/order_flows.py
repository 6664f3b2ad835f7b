"""Random flows of everything a matcher can be told, as strategies: what is told is settled when it is fed.

Plain random numbers would hardly ever hit a live order, a level or a trigger. So prices are few, most records fit, and
what acts on an order aims at one that is live.
"""

import random
from collections.abc import Callable, Iterator, Sequence

import attrs
from hypothesis import strategies as st

from engine.markets import OPEN_MARKET, MarketRules
from orderd.wire.records import RECORD, Attribute, Kind
from tests.support.naive_book import NaiveOrder

INSTRUMENTS = [1, 7]
LARGEST = 2**63 - 1
DAY, GTC, IOC, FOK, GTD = (tif << 2 for tif in range(5))
MARKET, POST_ONLY = 2, 32


@attrs.frozen
class New:
    """A new order with what its extensions say; its number is one that was never used."""

    price: int
    quantity: int
    instrument: int
    account: int
    flags: int
    extensions: tuple[tuple[int, int], ...] = ()
    """Attributes with their values; an expiry is told in nanoseconds from now."""

    def records(self, number: int, now_ns: int) -> list[bytes]:
        """Its extensions and the order."""
        out = []
        for attribute, told in self.extensions:
            value = told + now_ns if attribute == Attribute.EXPIRY and 0 < told < 1000 else told
            price, quantity = (value, 0) if attribute == Attribute.TRIGGER else (0, value)
            out.append(RECORD.pack(number, price, quantity, self.instrument, 0, Kind.EXTENSION, attribute))
        new = RECORD.pack(number, self.price, self.quantity, self.instrument, self.account, Kind.NEW, self.flags)
        return [*out, new]


@attrs.frozen
class Aimed:
    """A cancel or replace of a live order of the session; price 0 is that of the order."""

    pick: int
    kind: int
    price: int = 0
    quantity: int = 0

    def record(self, live: Sequence[NaiveOrder]) -> bytes:
        """What it comes to; ``live`` are the orders of the session."""
        if not live:
            return RECORD.pack(self.pick, self.price, self.quantity, 1, 0, self.kind, 0)
        order = live[self.pick % len(live)]
        price = 0 if self.kind == Kind.CANCEL else self.price or order.price
        return RECORD.pack(order.number, price, self.quantity, order.instrument, 0, self.kind, 0)


@attrs.frozen
class Raw:
    """Any record at all."""

    fields: tuple[int, ...]


@attrs.frozen
class Send:
    """A session sends records, in one call or one by one."""

    who: int
    told: tuple[New | Aimed | Raw, ...]
    one_by_one: bool


@attrs.frozen
class Expire:
    """Time passes, and GTD orders expire."""

    after_ns: int


@attrs.frozen
class EndDay:
    """The day ends."""


@attrs.frozen
class SetMarket:
    """The rules of a market change."""

    instrument: int
    rules: MarketRules


Step = Send | Expire | EndDay | SetMarket

AWAY = range(-2, 5)
"""Ticks from the middle, to where an order of its side does not cross; a trigger is on the other side."""
MIDDLE = 100
TRIGGER, DISPLAY, MINIMUM, EXPIRY = (int(attribute) for attribute in Attribute)
VALUES = {TRIGGER: AWAY, DISPLAY: range(1, 3), MINIMUM: range(1, 3), EXPIRY: range(1, 13)}
FORMS: tuple[tuple[int, tuple[int, ...]], ...] = (
    *[(DAY, ())] * 6, *[(GTC, ())] * 3,
    (IOC, ()), (FOK, ()), (MARKET | DAY, ()), (MARKET | IOC, ()), (MARKET | FOK, ()),
    (DAY | POST_ONLY, ()), (GTC | POST_ONLY, ()),
    (DAY, (DISPLAY,)), (GTC, (DISPLAY,)), (GTC, (DISPLAY,)), (GTC, (DISPLAY, MINIMUM)),
    (DAY, (MINIMUM,)), (IOC, (MINIMUM,)), (MARKET | DAY, (MINIMUM,)),
    (MARKET | DAY, (TRIGGER,)), (MARKET | GTC, (TRIGGER,)), (MARKET | GTD, (TRIGGER, EXPIRY)),
    (GTC, (TRIGGER,)), (GTC, (TRIGGER, DISPLAY)), (GTD, (TRIGGER, DISPLAY, EXPIRY)),
    (GTD, (EXPIRY,)), (GTD | POST_ONLY, (EXPIRY,)),
)  # fmt: skip
"""Flags but for side and self-trade prevention, and attributes, of orders that fit; plain ones are a third."""
PREVENTIONS = (0, 0, 0, 64, 128, 192)
OTHER_RULES = (
    MarketRules(halted=True), MarketRules(low=99), MarketRules(high=101), MarketRules(low=98, high=101),
)  # fmt: skip
REPLACE_PRICES = (0, 98, 99, 100, 100, 101, 102)


def order(form: tuple[int, tuple[int, ...]], pick: Callable[[Sequence[int]], int]) -> New:
    """An order of one of :data:`FORMS`; ``pick`` chooses one of several values."""
    flags, attributes = form
    side = pick((0, 1))
    sign = 1 if side else -1
    price = 0 if flags & MARKET else MIDDLE + sign * pick(AWAY)
    told = [(attribute, pick(VALUES[attribute])) for attribute in attributes]
    told = [(a, MIDDLE - sign * value if a == TRIGGER else value) for a, value in told]
    lots = pick(range(2, 7) if attributes else range(1, 7))
    return New(price, lots, pick((1, 1, 1, 7)), pick((0, 1)), flags | side | pick(PREVENTIONS), tuple(told))


def mass_cancel(flags: int, instrument: int, account: int) -> Raw:
    """A mass cancel of anything that four bits of flags say."""
    flags &= 15 if flags & 2 else 14
    return Raw((0, 0, 0, instrument if flags & 4 else 0, account if flags & 8 else 0, Kind.MASS_CANCEL, flags))


def long_flow(seed: int, steps: int) -> Iterator[Step]:
    """A flow as markets have them, without odd records, so long that much rests."""
    chance = random.Random(seed)

    def one() -> New | Aimed | Raw:
        draw = chance.random()
        if draw < 0.7:
            return order(chance.choice(FORMS), chance.choice)
        if draw < 0.99:
            kind = chance.choice((Kind.CANCEL, Kind.REPLACE, Kind.REPLACE, Kind.REPLACE_OPEN))
            return Aimed(chance.randrange(100), kind, chance.choice(REPLACE_PRICES), chance.randrange(1, 7))
        return mass_cancel(chance.randrange(16), chance.choice(INSTRUMENTS), chance.randrange(2))

    for _ in range(steps):
        draw = chance.random()
        if draw < 0.9:
            told = tuple(one() for _ in range(chance.randrange(1, 8)))
            yield Send(chance.randrange(3), told, chance.random() < 0.2)
        elif draw < 0.94:
            yield Expire(chance.randrange(3))
        elif draw < 0.995:
            rules = chance.choice(OTHER_RULES) if chance.random() < 0.3 else OPEN_MARKET
            yield SetMarket(chance.choice(INSTRUMENTS), rules)
        else:
            yield EndDay()


picks = st.integers(0, 9)
prices = st.integers(97, 103)
quantities = st.integers(1, 6)
accounts = st.integers(0, 1)
instruments = st.sampled_from([1, 1, 1, 7])


@st.composite
def new_orders(draw: st.DrawFn) -> New:
    """Orders that fit."""
    return order(draw(st.sampled_from(FORMS)), lambda values: draw(st.sampled_from(values)))


odd_values = quantities | st.sampled_from([0, 1000, LARGEST, LARGEST])
odd_extensions = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 4, 4, 5]), odd_values), max_size=3).map(tuple)
odd_orders = st.builds(
    New, prices | st.just(0), quantities | st.just(6000), instruments, accounts, st.integers(0, 255), odd_extensions
)
cancels = st.builds(Aimed, picks, st.just(Kind.CANCEL))
replaces = st.builds(Aimed, picks, st.sampled_from([3, 4]), st.sampled_from(REPLACE_PRICES), quantities)
mass_cancels = st.builds(mass_cancel, st.integers(0, 15), st.sampled_from([1, 1, 7, 9]), accounts)
anything = st.builds(Raw, st.tuples(
    st.integers(0, 20) | st.integers(0, 2**64 - 1),
    prices | st.sampled_from([0, -1, LARGEST, -(2**63)]),
    quantities | st.sampled_from([0, LARGEST, LARGEST + 1, 2**64 - 1]),
    st.sampled_from([1, 1, 7, 9]),
    accounts,
    st.sampled_from([0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 255]),
    st.integers(0, 8) | st.integers(0, 255),
))  # fmt: skip
one_told = st.one_of(*[new_orders()] * 8, cancels, *[replaces] * 3, odd_orders, mass_cancels | anything)
sends = st.builds(
    Send, st.sampled_from([0, 0, 1, 2]), st.lists(one_told, min_size=1, max_size=10).map(tuple), st.booleans()
)
rules = st.sampled_from([OPEN_MARKET] * 8 + list(OTHER_RULES))
happenings = st.one_of(
    *[st.builds(Expire, st.integers(0, 4))] * 4, *[st.builds(SetMarket, instruments, rules)] * 3, st.builds(EndDay)
)
flows: st.SearchStrategy[list[Step]] = st.lists(st.one_of(*[sends] * 14, happenings), min_size=10, max_size=40)
