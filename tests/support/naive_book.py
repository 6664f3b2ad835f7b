"""A matching engine so plain that it is right by reading: the model that the real matcher is compared with.

One list of resting orders and one of waiting stop orders for all instruments, searched and sorted anew for every
question. It shares nothing with the engine but the record and report types: not even the table of what contradicts
itself.
"""

from attrs import define, evolve, field

from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import ExecType, OrderStatus, Reason, Report

LARGEST = 2**63 - 1
SLICES = 1000
DAY, GTC, IOC, FOK, GTD = range(5)
CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH = 1, 2, 3
TRIGGER, DISPLAY, MINIMUM, EXPIRY = 1, 2, 3, 4


@define(eq=False)
class NaiveOrder:
    """An order as its records and its fills made it."""

    session: int
    sequence: int
    number: int
    instrument: int
    account: int
    sell: bool
    price: int
    total: int
    market: bool = False
    tif: int = DAY
    post_only: bool = False
    stp: int = 0
    trigger: int = 0
    display: int = 0
    minimum: int = 0
    expiry_ns: int = 0
    filled: int = 0
    shown: int = 0
    replaced: bool = False
    arrival: int = 0

    @property
    def open(self) -> int:
        return self.total - self.filled

    @property
    def status(self) -> OrderStatus:
        if self.filled == self.total:
            return OrderStatus.FILLED
        if self.filled > 0:
            return OrderStatus.PARTIALLY_FILLED
        return OrderStatus.REPLACED if self.replaced else OrderStatus.NEW

    @property
    def immediate(self) -> bool:
        """Whether it never rests."""
        return self.market or self.tif in (IOC, FOK)


@define
class NaiveEngine:
    """Executes one record at a time; ``reports`` holds what each session was told."""

    instruments: list[int]
    reports: dict[int, list[Report]] = field(factory=dict)
    resting: list[NaiveOrder] = field(factory=list)
    waiting: list[NaiveOrder] = field(factory=list)
    extensions: dict[int, list[tuple[int, ...]]] = field(factory=dict)
    """What was said of the order that each session may bring next: fields of records."""
    rules: dict[int, tuple[bool, int, int]] = field(factory=dict)
    """Of instruments: halted, lowest and highest price."""
    last_prices: dict[int, int] = field(factory=dict)
    prints: list[int] = field(factory=list)
    trades: int = 0
    arrivals: int = 0
    now_ns: int = 0

    @property
    def live(self) -> list[NaiveOrder]:
        return self.resting + self.waiting

    def depth(self, instrument: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """All levels of both sides, best first."""
        sides: list[list[tuple[int, int, int]]] = []
        for sell in (False, True):
            orders = [o for o in self.resting if o.instrument == instrument and o.sell == sell]
            prices = sorted({o.price for o in orders}, reverse=not sell)
            levels = [[o.shown for o in orders if o.price == price] for price in prices]
            sides.append([(price, sum(lots), len(lots)) for price, lots in zip(prices, levels, strict=True)])
        return sides[0], sides[1]

    # --- what happens -------------------------------------------------------------------------------------------------

    def execute(self, session: int, sequence: int, record: bytes, now_ns: int) -> None:
        """Do what one record says, and what follows from it."""
        self.now_ns = now_ns
        fields = RECORD.unpack(record)
        said = self.extensions.pop(session, [])
        if fields[5] == Kind.EXTENSION:
            same_order = [other for other in said if (other[0], other[3]) == (fields[0], fields[3])]
            self.extensions[session] = [*same_order, fields]
            self._tell_extended(session, sequence, fields)
        elif fields[5] == Kind.NEW:
            about_it = [other for other in said if (other[0], other[3]) == (fields[0], fields[3])]
            self._new(session, sequence, fields, about_it)
        else:
            self._act(session, sequence, fields)
        self._trigger(fields[3])

    def cancel_session(self, session: int, reason: Reason, now_ns: int) -> None:
        """Cancel everything of a session, in the order it came."""
        self.now_ns = now_ns
        for order in sorted((o for o in self.live if o.session == session), key=lambda o: o.sequence):
            self._cancel(order, 0, reason, final=False)

    def expire(self, time_ns: int) -> int:
        """The time of GTD orders has come."""
        due = [o for o in self.live if o.tif == GTD and o.expiry_ns <= time_ns]
        return self._expire(sorted(due, key=lambda o: (o.expiry_ns, o.session, o.sequence)), Reason.EXPIRED, time_ns)

    def end_day(self, time_ns: int) -> int:
        """The time of DAY orders has come."""
        due = [o for o in self.live if o.tif == DAY]
        return self._expire(sorted(due, key=lambda o: (o.session, o.sequence)), Reason.DAY_END, time_ns)

    def _expire(self, due: list[NaiveOrder], reason: Reason, time_ns: int) -> int:
        self.now_ns = time_ns
        for order in due:
            self._remove(order)
            told = self._about(order) | {"status": OrderStatus.EXPIRED, "leaves_qty": 0, "reason": reason}
            self._tell(order.session, exec_type=ExecType.EXPIRED, input=0, final=False, **told)
        return len(due)

    # --- new orders ---------------------------------------------------------------------------------------------------

    def _new(self, session: int, sequence: int, fields: tuple[int, ...], said: list[tuple[int, ...]]) -> None:
        number, price, quantity, instrument, account, _, flags = fields
        order = NaiveOrder(
            session, sequence, number, instrument, account, flags % 2 == 1, price, quantity,
            market=flags >> 1 & 1 == 1, tif=flags >> 2 & 7, post_only=flags >> 5 & 1 == 1, stp=flags >> 6,
        )  # fmt: skip
        reason = self._refusal(order, said)
        if not reason and order.post_only and self._crossed(order):
            reason = Reason.POST_ONLY
        if reason:
            self._refuse(session, ExecType.REJECTED, sequence, sequence, fields, reason)
            return
        needed = order.total if order.tif == FOK else order.minimum
        waits = order.trigger > 0
        acts = not waits and (order.immediate or needed > 0 or bool(self._crossed(order)))
        self._tell(session, exec_type=ExecType.NEW, order=sequence, input=sequence, final=not acts)
        if waits:
            self.arrivals += 1
            order.arrival = self.arrivals
            self.waiting.append(order)
            self.prints += [self.last_prices[instrument]] if instrument in self.last_prices else []
        elif not needed or self._could_trade(order, needed):
            self._enter(order, sequence)
        else:
            why = Reason.FOK if order.tif == FOK else Reason.MINIMUM_QUANTITY
            self._cancel(order, sequence, why, final=True)

    def _refusal(self, order: NaiveOrder, said: list[tuple[int, ...]]) -> Reason:
        if order.instrument not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if any((o.session, o.number) == (order.session, order.number) for o in self.live):
            return Reason.DUPLICATE_NUMBER
        if not 1 <= order.total <= LARGEST or (order.price != 0 if order.market else order.price < 1):
            return Reason.BAD_RECORD
        attributes = [flags for _, _, _, _, _, _, flags in said]
        if attributes != sorted(set(attributes)):
            return Reason.BAD_RECORD
        for _, price, quantity, _, account, _, attribute in said:
            value, unused = (price, quantity) if attribute == TRIGGER else (quantity, price)
            if attribute not in (1, 2, 3, 4) or unused or account or not 1 <= value <= LARGEST:
                return Reason.BAD_RECORD
            name = {TRIGGER: "trigger", DISPLAY: "display", MINIMUM: "minimum", EXPIRY: "expiry_ns"}[attribute]
            setattr(order, name, value)
        if self._contradicts(order):
            return Reason.BAD_RECORD
        if order.tif == GTD and order.expiry_ns <= self.now_ns:
            return Reason.EXPIRED
        halted, low, high = self.rules.get(order.instrument, (False, 0, 0))
        if halted:
            return Reason.HALTED
        named = [price for price in (order.price, order.trigger) if price]
        return Reason.PRICE_LIMIT if any(p < low or (high and p > high) for p in named) else Reason.NONE

    def _contradicts(self, order: NaiveOrder) -> bool:
        tif, stop = order.tif, order.trigger > 0
        return any(
            (
                tif > GTD,
                tif == GTD and not order.expiry_ns,
                tif != GTD and order.expiry_ns,
                order.market and (order.post_only or order.display),
                order.market and tif in (GTC, GTD) and not stop,
                order.post_only and (tif in (IOC, FOK) or stop or order.minimum),
                order.display and tif in (IOC, FOK),
                order.minimum and (tif == FOK or stop),
                stop and tif in (IOC, FOK),
                order.display > order.total,
                order.minimum > order.total,
                order.display and order.display * SLICES < order.total,
            )
        )

    def _could_trade(self, order: NaiveOrder, lots: int) -> bool:
        """Whether it would trade so much at once: tried out with copies of all orders."""
        trial = NaiveEngine(self.instruments, resting=[evolve(o) for o in self.resting], rules=self.rules)
        trial.arrivals = self.arrivals
        taker = evolve(order, total=lots)
        trial._enter(taker, order.sequence)
        return taker.filled == lots

    # --- trading ------------------------------------------------------------------------------------------------------

    def _crossed(self, taker: NaiveOrder) -> list[NaiveOrder]:
        """Whom an order could trade with now, in the order in which it would."""
        others = [o for o in self.resting if o.instrument == taker.instrument and o.sell != taker.sell]
        _, low, high = self.rules.get(taker.instrument, (False, 0, 0))
        worst = taker.price if not taker.market else low if taker.sell else high or LARGEST
        others = [o for o in others if (o.price >= worst if taker.sell else o.price <= worst)]
        return sorted(others, key=lambda o: (-o.price if taker.sell else o.price, o.arrival))

    def _enter(self, taker: NaiveOrder, input_: int) -> None:
        """Take what it crosses, then rest or be cancelled."""
        while taker.open and (crossed := self._crossed(taker)):
            maker = crossed[0]
            is_own = (maker.session, maker.account) == (taker.session, taker.account)
            if is_own and taker.stp in (CANCEL_OLDEST, CANCEL_BOTH):
                self.resting.remove(maker)
                ends = taker.stp == CANCEL_OLDEST and not taker.immediate and not self._crossed(taker)
                self._cancel(maker, input_, Reason.SELF_TRADE, final=ends)
            if is_own and taker.stp in (CANCEL_NEWEST, CANCEL_BOTH):
                self._cancel(taker, input_, Reason.SELF_TRADE, final=True)
                return
            if not is_own or not taker.stp:
                self._trade(maker, taker, input_)
        if taker.open and taker.immediate:
            self._cancel(taker, input_, self._why_not_all(taker), final=True)
        elif taker.open:
            self._rest(taker)

    def _why_not_all(self, order: NaiveOrder) -> Reason:
        if order.tif == FOK:
            return Reason.FOK
        if not order.market:
            return Reason.IOC
        beyond = [o for o in self.resting if o.instrument == order.instrument and o.sell != order.sell]
        return Reason.PRICE_LIMIT if beyond else Reason.NO_LIQUIDITY

    def _trade(self, maker: NaiveOrder, taker: NaiveOrder, input_: int) -> None:
        lots = min(maker.shown, taker.open)
        self.trades += 1
        maker.filled += lots
        maker.shown -= lots
        taker.filled += lots
        if maker.open == 0:
            self.resting.remove(maker)
        elif maker.shown == 0:
            self.resting.remove(maker)
            self._rest(maker)
        self.prints.append(maker.price)
        self.last_prices[maker.instrument] = maker.price
        last = taker.open == 0 or (not taker.immediate and not self._crossed(taker))
        for order, is_taker in ((maker, False), (taker, True)):
            told = self._about(order) | {"exec_type": ExecType.TRADE, "last_qty": lots, "last_px": maker.price}
            told["input"] = input_ if order.session == taker.session else 0
            told["final"] = is_taker and last and input_ > 0
            self._tell(order.session, taker=is_taker, trade_id=self.trades, **told)

    def _rest(self, order: NaiveOrder) -> None:
        """Go to the back of all, with as much showing as may."""
        self.arrivals += 1
        order.arrival = self.arrivals
        order.shown = min(order.display, order.open) if order.display else order.open
        self.resting.append(order)

    def _trigger(self, instrument: int) -> None:
        """Let stop orders of the one instrument act that prints trigger, those triggered first before others."""
        triggered: list[NaiveOrder] = []
        while self.prints or triggered:
            here = [o for o in self.waiting if o.instrument == instrument]
            buys = [o for o in here if not o.sell and any(price >= o.trigger for price in self.prints)]
            sells = [o for o in here if o.sell and any(price <= o.trigger for price in self.prints)]
            triggered += sorted(buys, key=lambda o: (o.trigger, o.arrival))
            triggered += sorted(sells, key=lambda o: (-o.trigger, o.arrival))
            self.waiting = [o for o in self.waiting if o not in triggered]
            self.prints = []
            if triggered:
                order = triggered.pop(0)
                self._tell(order.session, exec_type=ExecType.TRIGGERED, input=0, final=False, **self._about(order))
                _, low, high = self.rules.get(instrument, (False, 0, 0))
                if not order.market and (order.price < low or (high and order.price > high)):
                    self._cancel(order, 0, Reason.PRICE_LIMIT, final=False)
                else:
                    self._enter(order, 0)

    # --- requests about live orders -----------------------------------------------------------------------------------

    def _act(self, session: int, sequence: int, fields: tuple[int, ...]) -> None:
        number, price, quantity, instrument, _, kind, _ = fields
        found = [o for o in self.live if (o.session, o.number, o.instrument) == (session, number, instrument)]
        if kind == Kind.VOID:
            self._refuse(session, ExecType.VOIDED, sequence, sequence, fields, Reason.NONE)
        elif kind == Kind.CANCEL and found:
            self._cancel(found[0], sequence, Reason.NONE, final=True)
        elif kind == Kind.CANCEL:
            self._refuse(session, ExecType.CANCEL_REJECTED, 0, sequence, fields, Reason.UNKNOWN_ORDER)
        elif kind in (Kind.REPLACE, Kind.REPLACE_OPEN) and found:
            total = quantity + (found[0].filled if kind == Kind.REPLACE_OPEN else 0)
            self._replace(found[0], sequence, price, quantity, total)
        elif kind in (Kind.REPLACE, Kind.REPLACE_OPEN):
            self._refuse(session, ExecType.REPLACE_REJECTED, 0, sequence, fields, Reason.UNKNOWN_ORDER)
        elif kind == Kind.MASS_CANCEL and self._is_mass_cancel(fields):
            picked = [o for o in self.live if o.session == session and self._is_picked(fields, o)]
            for order in sorted(picked, key=lambda o: o.sequence):
                self._cancel(order, sequence, Reason.NONE, final=False)
            told = self._outline(fields) | {"exec_type": ExecType.MASS_CANCELED, "status": OrderStatus.CANCELED}
            self._tell(session, order=0, input=sequence, final=True, cum_qty=len(picked), **told)
        else:
            self._refuse(session, ExecType.REJECTED, sequence, sequence, fields, Reason.BAD_RECORD)

    def _is_mass_cancel(self, fields: tuple[int, ...]) -> bool:
        """Whether all fields that its flags leave out are zero."""
        _, price, quantity, instrument, account, _, flags = fields
        sell, by_side, by_instrument, by_account = (flags >> bit & 1 for bit in range(4))
        unused = [price, quantity, flags >> 4]
        unused += [] if by_side else [sell]
        unused += [] if by_instrument else [instrument]
        unused += [] if by_account else [account]
        return not any(unused)

    def _is_picked(self, fields: tuple[int, ...], order: NaiveOrder) -> bool:
        _, _, _, instrument, account, _, flags = fields
        wanted = []
        if flags & 2:
            wanted.append(order.sell == (flags & 1 == 1))
        if flags & 4:
            wanted.append(order.instrument == instrument)
        if flags & 8:
            wanted.append(order.account == account)
        return all(wanted)

    def _replace(self, order: NaiveOrder, input_: int, price: int, quantity: int, total: int) -> None:
        halted, low, high = self.rules.get(order.instrument, (False, 0, 0))
        too_hidden = order.display and order.display * SLICES < total - order.filled
        reason = Reason.NONE
        if order.market:
            reason = Reason.NOT_SUPPORTED
        elif price < 1 or not 1 <= quantity <= LARGEST or total > LARGEST or too_hidden:
            reason = Reason.BAD_RECORD
        elif halted:
            reason = Reason.HALTED
        elif price < low or (high and price > high):
            reason = Reason.PRICE_LIMIT
        elif total <= order.filled:
            self._cancel(order, input_, Reason.REPLACED_BELOW_FILLED, final=True)
            return
        waits = order in self.waiting
        keeps_priority = waits or (price == order.price and total <= order.total)
        crossed = self._crossed(evolve(order, price=price)) if not keeps_priority else []
        if not reason and crossed and order.post_only:
            reason = Reason.POST_ONLY
        if not reason:
            order.price, order.total, order.replaced = price, total, True
        exec_type = ExecType.REPLACE_REJECTED if reason else ExecType.REPLACED
        told = self._about(order) | {"exec_type": exec_type, "reason": reason, "input": input_}
        self._tell(order.session, final=bool(reason) or not crossed, **told)
        if not reason and keeps_priority:
            order.shown = min(order.shown, order.open)
        elif not reason:
            self.resting.remove(order)
            self._enter(order, input_)

    def _cancel(self, order: NaiveOrder, input_: int, reason: Reason, *, final: bool) -> None:
        self._remove(order)
        told = self._about(order) | {"status": OrderStatus.CANCELED, "leaves_qty": 0, "reason": reason}
        self._tell(order.session, exec_type=ExecType.CANCELED, input=input_, final=final and input_ > 0, **told)

    def _remove(self, order: NaiveOrder) -> None:
        self.resting = [o for o in self.resting if o is not order]
        self.waiting = [o for o in self.waiting if o is not order]

    # --- reports ------------------------------------------------------------------------------------------------------

    def _refuse(
        self, session: int, exec_type: ExecType, order: int, input_: int, fields: tuple[int, ...], reason: Reason
    ) -> None:
        status = OrderStatus.CANCELED if exec_type is ExecType.VOIDED else OrderStatus.REJECTED
        told = self._outline(fields) | {"exec_type": exec_type, "status": status, "order": order, "reason": reason}
        self._tell(session, input=input_, final=True, **told)

    def _tell_extended(self, session: int, sequence: int, fields: tuple[int, ...]) -> None:
        told = {"exec_type": ExecType.EXTENDED, "order": 0, "input": sequence, "final": True}
        self._tell(session, number=fields[0], instrument=fields[3], **told)

    def _outline(self, fields: tuple[int, ...]) -> dict[str, object]:
        number, _, _, instrument, account, _, flags = fields
        return {"number": number, "instrument": instrument, "account": account, "sell": flags % 2 == 1}

    def _about(self, order: NaiveOrder) -> dict[str, object]:
        return {
            "order": order.sequence,
            "sell": order.sell,
            "status": order.status,
            "account": order.account,
            "instrument": order.instrument,
            "number": order.number,
            "cum_qty": order.filled,
            "leaves_qty": order.open,
        }

    def _tell(self, session: int, **values: object) -> None:
        reports = self.reports.setdefault(session, [])
        reports.append(Report(report=len(reports) + 1, transact_time_ns=self.now_ns, **values))  # type: ignore[arg-type]
