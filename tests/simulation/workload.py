"""What random clients say: every command with every option, mostly as it should be. Pure.

A :class:`Shape` says how much of what there is; most seeds leave something out altogether, so that what remains meets
itself more often (swarm testing: Groce and others, 2012). Prices are few and quantities small, so that orders trade.

No id is used twice by accident: the clients of a site share one :class:`Workload`. Words that say the same thing again
are the very same words, kept by whoever said them.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tests.simulation.bad_commands import bad_command
from tests.simulation.intents import Intent, Kind, Transaction, Words
from tests.simulation.markets import FIRST_NUMBER, MARKETS, Known, Market
from tests.simulation.random_batches import batch_records
from tests.simulation.shape import Shape

REMEMBERED: Final = 400
"""How many of the youngest orders are spoken of."""
MODES: Final = (b"sync", b"batch", b"fire-and-forget")
SIDES: Final = (b"BUY", b"SELL")


class Workload:
    """The commands of all clients of a site. ``wall_ns()`` is its clock, in ns since 1970 UTC."""

    def __init__(self, rng: random.Random, shape: Shape, wall_ns: Callable[[], int]) -> None:
        self.rng = rng
        self.shape = shape
        self.orders: list[Known] = []
        self.batches: list[Intent] = []
        self.restricted: dict[Words, None] = {}
        """Commands that let trading go on again, for whom it was restricted."""
        self._halted: list[Words] = []
        """Those of them that nobody has said yet."""
        self._reserved: list[int] = []
        self._wall_ns = wall_ns
        self._serial = 0
        self._request_ids: list[bytes] = []
        self._names = tuple(name for name, weight in shape.weights if weight)
        self._weights = tuple(weight for _, weight in shape.weights if weight)

    # --- the mix ------------------------------------------------------------------------------------------------------

    def next(self, *, resp3: bool, admin: bool) -> Intent | Transaction:
        """What a client says next; one that is not ``admin`` may say, too, what it may not do."""
        rng = self.rng
        if rng.random() < self.shape.bad:
            return bad_command(self)
        if admin and self._halted and rng.random() < 0.1:
            return Intent(Kind.SETTING, self._halted.pop())
        name = rng.choices(self._names, self._weights)[0]
        if name == "multi":
            return self._transaction()
        if name == "subscribe" and not resp3:
            name = "read"
        if name in ("cancel", "replace", "status", "wait") and not self.orders:
            name = "new"
        if name in ("trading", "mode", "reload", "kill") and not admin and rng.random() < 0.8:
            name = "new"
        intent: Intent = getattr(self, f"_{name}")()
        return intent

    def _transaction(self) -> Transaction:
        rng = self.rng
        names = ("new", "new", "new", "cancel", "replace", "batch", "status", "list", "mass", "read", "positions")
        parts: list[Intent] = []
        for _ in range(rng.choice((1, 2, 3, 5, 12))):
            if rng.random() < self.shape.bad / 2:
                parts.append(bad_command(self, in_transaction=True))
            else:
                parts.append(getattr(self, f"_{rng.choice(names)}")())
        return Transaction(parts, discards=rng.random() < 0.1)

    # --- what orders are made of --------------------------------------------------------------------------------------

    def serial(self) -> int:
        """One that was never there before."""
        self._serial += 1
        return self._serial

    def reserved(self, intent: Intent, reply: object) -> None:
        """What ORDER.RESERVE has answered: some of these numbers are used."""
        if isinstance(reply, int):
            self._reserved += range(reply, reply + min(int(intent.words[1]), 20))

    def number(self) -> int:
        """Of an order in a batch: one that was reserved, or one of our own, where ORDER.RESERVE never comes."""
        if self._reserved and self.rng.random() < 0.5:
            return self._reserved.pop(self.rng.randrange(len(self._reserved)))
        return FIRST_NUMBER + self.serial()

    def market(self) -> Market:
        """One of them; most orders are for the first."""
        return MARKETS[self.rng.random() < self.shape.second_market]

    def ticks(self, market: Market, *, sell: bool | None = None) -> int:
        """A price; buyers look a little lower than sellers."""
        at = int(self.rng.random() * self.shape.levels)
        if sell is not None and self.rng.random() < self.shape.spread:
            at += self.shape.levels // 2 if sell else -(self.shape.levels // 2)
        return market.base + at

    def lots(self) -> int:
        """A quantity."""
        return 1 + int(self.rng.random() ** 2 * self.shape.lots)

    def soon_ns(self) -> int:
        """A time that is over soon, mostly: whole milliseconds, in ns since 1970 UTC."""
        after_ms = self.rng.choice((40, 200, 1000, 3000, 10_000, 86_400_000))
        return (self._wall_ns() // 10**6 + after_ms) * 10**6

    def account(self) -> int:
        """One of few."""
        return self.rng.choice(self.shape.accounts)

    def order(self) -> Known:
        """One of the youngest, sometimes of the older ones, now and then one that was never there."""
        rng, orders = self.rng, self.orders
        if not orders or rng.random() < 0.01:
            return Known(b"none", MARKETS[0], FIRST_NUMBER - 1)
        back = min(len(orders), 1 + int(rng.expovariate(1 / 6)) if rng.random() < 0.8 else rng.randrange(REMEMBERED))
        return orders[-back]

    def remember(self, known: Known) -> None:
        """That order may be spoken of."""
        self.orders.append(known)
        if len(self.orders) > 2 * REMEMBERED:
            del self.orders[:-REMEMBERED]

    def said_mode(self) -> Words:
        """The option, or none."""
        rng = self.rng
        return (b"MODE", rng.choice(MODES)) if rng.random() < self.shape.says_mode else ()

    # --- orders -------------------------------------------------------------------------------------------------------

    def _new(self) -> Intent:
        rng, market = self.rng, self.market()
        serial, sell, lots = self.serial(), rng.random() < 0.5, self.lots()
        is_number = rng.random() < self.shape.number_ids
        cl_ord_id = b"%d" % (FIRST_NUMBER + serial) if is_number else b"t%d" % serial
        kind: Words = (b"MARKET",)
        price = b""
        if rng.random() >= self.shape.market:
            price = market.price(self.ticks(market, sell=sell))
            kind = (b"LIMIT", price)
        options = self._options(market, kind, lots)
        words = (b"ORDER.NEW", cl_ord_id, market.symbol, SIDES[sell], market.quantity(lots), *kind, *options)
        self.remember(Known(cl_ord_id, market, FIRST_NUMBER + serial if is_number else 0, price))
        return Intent(Kind.ORDER, words, cl_ord_id)

    def _options(self, market: Market, kind: Words, lots: int) -> Words:
        """Options that go together, in no special order."""
        rng, shape, is_limit = self.rng, self.shape, len(kind) == 2
        said: list[Words] = []
        if rng.random() < shape.stop:
            said.append((b"STOP", market.price(self.ticks(market))))
            rests = True
        else:
            rests = is_limit
        if rng.random() < shape.gtd and rests:
            said.append((b"GTD", self._time(self.soon_ns())))
        elif rng.random() < shape.tif:
            at_once = (b"DAY", b"IOC", b"FOK")
            tif = rng.choice((b"DAY", b"GTC") if said else (*at_once, b"GTC") if rests else at_once)
            said.append((b"TIF", tif))
            rests = rests and tif in (b"DAY", b"GTC")
        if is_limit and rests and rng.random() < shape.display:
            said.append((b"DISPLAY", market.quantity(rng.randint(1, lots))))
        stands = bool(said) and said[0][0] == b"STOP"
        if is_limit and rests and not stands and rng.random() < shape.postonly:
            said.append((b"POSTONLY",))
        elif not stands and (b"TIF", b"FOK") not in said and rng.random() < shape.minqty:
            said.append((b"MINQTY", market.quantity(rng.randint(1, lots))))
        if rng.random() < shape.stp:
            said.append((b"STP", rng.choice((b"NONE", b"CANCEL_NEWEST", b"CANCEL_OLDEST", b"CANCEL_BOTH"))))
        if rng.random() < shape.maxage:
            said.append((b"MAXAGE", b"%d" % rng.choice((1, 20, 150, 1000, 60_000))))
        if len(shape.accounts) > 1:
            said.append((b"ACCOUNT", b"%d" % self.account()))
        said.append(self.said_mode())
        rng.shuffle(said)
        return tuple(word for option in said for word in option)

    def _time(self, ns: int) -> bytes:
        if self.rng.random() < 0.7:
            return b"%d" % (ns // 10**6)
        return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (
            ns // 10**6 % 1000
        )

    def _request(self, words: Words, known: Known) -> Intent:
        rng = self.rng
        if rng.random() >= self.shape.request_ids:
            return Intent(Kind.LOOSE, (*words, *self.said_mode()), known.cl_ord_id)
        return Intent(Kind.REQUEST, (*words, b"ID", b"r%d" % self.serial(), *self.said_mode()), known.cl_ord_id)

    def _cancel(self) -> Intent:
        known = self.order()
        return self._request((b"ORDER.CANCEL", known.cl_ord_id), known)

    def _replace(self) -> Intent:
        known = self.order()
        price = known.market.price(self.ticks(known.market))
        if known.price and self.rng.random() < self.shape.keeps_price:
            price = known.price
        words = (known.market.quantity(self.lots()), price)
        is_open = (b"OPEN",) if self.rng.random() < 0.4 else ()
        return self._request((b"ORDER.REPLACE", known.cl_ord_id, *words, *is_open), known)

    def _mass(self) -> Intent:
        rng = self.rng
        words: list[bytes] = [b"ORDER.MASSCANCEL"]
        if rng.random() < 0.6:
            words += [b"SYMBOL", self.market().symbol]
        if rng.random() < 0.6:
            words += [b"SIDE", rng.choice(SIDES)]
        if rng.random() < 0.5:
            words += [b"ACCOUNT", b"%d" % self.account()]
        return Intent(Kind.LOOSE, tuple(words))

    def _batch(self) -> Intent:
        batch_id = b"b%d" % self.serial()
        intent = Intent(Kind.BATCH, (b"ORDER.BATCH", batch_id, batch_records(self), *self.said_mode()))
        self.batches.append(intent)
        return intent

    # --- questions ----------------------------------------------------------------------------------------------------

    def _status(self) -> Intent:
        about = self.order().cl_ord_id
        return Intent(Kind.QUERY, (b"ORDER.STATUS", about), about)

    def _wait(self) -> Intent:
        about = self.order().cl_ord_id
        return Intent(Kind.QUERY, (b"ORDER.WAIT", about, b"%d" % self.rng.choice((0, 5, 100, 500))), about)

    def _list(self) -> Intent:
        rng = self.rng
        words: list[bytes] = [b"ORDER.LIST", rng.choice((b"OPEN", b"ALL"))]
        if rng.random() < 0.3:
            words += [b"SYMBOL", self.market().symbol]
        if rng.random() < 0.3:
            words += [b"ACCOUNT", b"%d" % self.account()]
        if rng.random() < 0.4:
            words += [b"AFTER", b"%d" % rng.randrange(200)]
        if rng.random() < 0.2:
            words.append(b"POSITION")
        return Intent(Kind.QUERY, (*words, b"COUNT", b"%d" % rng.choice((1, 5, 20))))

    def _reserve(self) -> Intent:
        return Intent(Kind.QUERY, (b"ORDER.RESERVE", b"%d" % self.rng.choice((1, 10, 1000))))

    def _read(self) -> Intent:
        rng = self.rng
        after = rng.choice((b"0", b"$", b"%d" % rng.randrange(300), b"%d" % rng.randrange(60)))
        words: list[bytes] = [b"EXEC.READ", after, b"COUNT", b"%d" % rng.choice((1, 10, 30))]
        if rng.random() < 0.3:
            words += [b"BLOCK", b"%d" % rng.choice((1, 20, 300))]
        if rng.random() < 0.3:
            words += [b"ACCOUNT", b"%d" % self.account()]
        return Intent(Kind.QUERY, tuple(words))

    def _subscribe(self) -> Intent:
        rng = self.rng
        if rng.random() < 0.2:
            return Intent(Kind.QUERY, (b"EXEC.UNSUBSCRIBE",))
        account = (b"ACCOUNT", b"%d" % self.account()) if rng.random() < 0.3 else ()
        return Intent(Kind.QUERY, (b"EXEC.SUBSCRIBE", rng.choice((b"0", b"$")), *account))

    def _book(self) -> Intent:
        depth = (b"DEPTH", b"%d" % self.rng.choice((1, 3, 1000))) if self.rng.random() < 0.7 else ()
        return Intent(Kind.QUERY, (b"BOOK", self.market().symbol, *depth))

    def _positions(self) -> Intent:
        account = (b"ACCOUNT", b"%d" % self.account()) if self.rng.random() < 0.4 else ()
        symbol = (b"SYMBOL", self.market().symbol) if self.rng.random() < 0.3 else ()
        return Intent(Kind.QUERY, (b"POSITIONS", *account, *symbol))

    def _ping(self) -> Intent:
        return Intent(Kind.QUERY, self.rng.choice(((b"PING",), (b"PING", b"there"), (b"ECHO", b"x" * 300))))

    def _info(self) -> Intent:
        return Intent(Kind.QUERY, (b"INFO", self.rng.choice((b"orders", b"executions", b"clients"))))

    def _other(self) -> Intent:
        said: tuple[Words, ...] = (
            (b"INSTRUMENTS",), (b"MODE",), (b"TRADING",), (b"CLIENT", b"ID"), (b"CLIENT", b"INFO"),
            (b"CONFIG", b"GET", b"batch.*"), (b"COMMAND", b"COUNT"), (b"SELECT", b"0"),
            (b"CLIENT", b"SETNAME", b"me"), (b"TRADING", b"ACCOUNT", b"7"), (b"EXEC.UNSUBSCRIBE",),
        )  # fmt: skip
        return Intent(Kind.QUERY, self.rng.choice(said))

    # --- administration -----------------------------------------------------------------------------------------------

    def _trading(self) -> Intent:
        """Trading is restricted, and let go on again by what somebody says soon, and at the end."""
        rng = self.rng
        account = (b"ACCOUNT", b"%d" % self.account()) if rng.random() < 0.6 else ()
        active = (b"TRADING", b"ACTIVE", *account)
        self.restricted[active] = None
        self._halted.append(active)
        return Intent(Kind.SETTING, (b"TRADING", rng.choice((b"REDUCING", b"HALTED")), *account))

    def _mode(self) -> Intent:
        return Intent(Kind.SETTING, (b"MODE", self.rng.choice(MODES)))

    def _reload(self) -> Intent:
        return Intent(Kind.SETTING, (b"CONFIG", b"RELOAD"))

    def _kill(self) -> Intent:
        return Intent(Kind.SETTING, (b"CLIENT", b"KILL", b"ID", b"%d" % self.rng.randint(1, 8)))

    def _guard(self) -> Intent:
        rng = self.rng
        guards: tuple[Words, ...] = (
            (b"CLIENT", b"CANCELONDISCONNECT", b"ON"), (b"CLIENT", b"CANCELONDISCONNECT", b"ON"),
            (b"CLIENT", b"CANCELONDISCONNECT", b"OFF"), (b"CLIENT", b"DEADMAN", b"%d" % rng.choice((100, 400, 2000))),
            (b"CLIENT", b"DEADMAN", b"0"), (b"RESET",),
        )  # fmt: skip
        return Intent(Kind.SETTING, rng.choice(guards))
