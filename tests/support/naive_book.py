"""A matching engine so plain that it is right by reading: the model that the real matcher is compared with.

One list of resting orders for all instruments, searched and sorted anew for every question. It shares nothing with the
engine but the record and report types.
"""

from attrs import define, field

from orderd.wire.records import RECORD, Kind, TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason, Report

LARGEST = 2**63 - 1


@define(eq=False)
class NaiveOrder:
    """An order as its record and its fills made it."""

    session: int
    sequence: int
    number: int
    instrument: int
    account: int
    sell: bool
    price: int
    total: int
    filled: int = 0
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


@define
class NaiveEngine:
    """Executes one record at a time; ``reports`` holds what each session was told."""

    instruments: list[int]
    reports: dict[int, list[Report]] = field(factory=dict)
    resting: list[NaiveOrder] = field(factory=list)
    trades: int = 0
    arrivals: int = 0

    def depth(self, instrument: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """All levels of both sides, best first."""
        sides: list[list[tuple[int, int, int]]] = []
        for sell in (False, True):
            orders = [o for o in self.resting if o.instrument == instrument and o.sell == sell]
            prices = sorted({o.price for o in orders}, reverse=not sell)
            levels = [[o.open for o in orders if o.price == price] for price in prices]
            sides.append([(price, sum(lots), len(lots)) for price, lots in zip(prices, levels, strict=True)])
        return sides[0], sides[1]

    def execute(self, session: int, sequence: int, record: bytes, now_ns: int) -> None:
        """Do what one record says."""
        number, price, quantity, instrument, account, kind, flags = RECORD.unpack(record)
        found = [o for o in self.resting if (o.session, o.number, o.instrument) == (session, number, instrument)]
        outline = {"number": number, "instrument": instrument, "account": account, "sell": flags % 2 == 1}
        refused: tuple[ExecType, int, Reason] | None = None
        if kind == Kind.VOID:
            told = {"exec_type": ExecType.VOIDED, "status": OrderStatus.CANCELED, "order": sequence}
            self._tell(session, now_ns, input=sequence, final=True, **outline, **told)
        elif kind == Kind.NEW:
            reason = self._refusal(session, record)
            if reason:
                refused = ExecType.REJECTED, sequence, reason
            else:
                order = NaiveOrder(session, sequence, number, instrument, account, flags % 2 == 1, price, quantity)
                self._enter(order, flags, now_ns)
        elif kind == Kind.CANCEL:
            if found:
                self._cancel(found[0], sequence, Reason.NONE, now_ns)
            else:
                refused = ExecType.CANCEL_REJECTED, 0, Reason.UNKNOWN_ORDER
        elif kind in (Kind.REPLACE, Kind.REPLACE_OPEN):
            if found:
                total = quantity + (found[0].filled if kind == Kind.REPLACE_OPEN else 0)
                self._replace(found[0], sequence, price, quantity, total, now_ns)
            else:
                refused = ExecType.REPLACE_REJECTED, 0, Reason.UNKNOWN_ORDER
        elif kind == Kind.MASS_CANCEL and self._is_mass_cancel(record):
            picked = [o for o in self.resting if o.session == session and self._is_picked(record, o)]
            for order in sorted(picked, key=lambda o: o.sequence):
                self._cancel(order, sequence, Reason.NONE, now_ns, final=False)
            told = {"exec_type": ExecType.MASS_CANCELED, "status": OrderStatus.CANCELED, "order": 0}
            self._tell(session, now_ns, input=sequence, final=True, cum_qty=len(picked), **outline, **told)
        else:
            refused = ExecType.REJECTED, sequence, Reason.NOT_SUPPORTED if kind == 6 else Reason.BAD_RECORD
        if refused:
            told = {"exec_type": refused[0], "status": OrderStatus.REJECTED, "order": refused[1], "reason": refused[2]}
            self._tell(session, now_ns, input=sequence, final=True, **outline, **told)

    def cancel_session(self, session: int, reason: Reason, now_ns: int) -> None:
        """Cancel everything of a session, in the order it came."""
        for order in sorted((o for o in self.resting if o.session == session), key=lambda o: o.sequence):
            self._cancel(order, 0, reason, now_ns)

    def _is_mass_cancel(self, record: bytes) -> bool:
        """Whether all fields that its flags leave out are zero."""
        _, price, quantity, instrument, account, _, flags = RECORD.unpack(record)
        sell, by_side, by_instrument, by_account = (flags >> bit & 1 for bit in range(4))
        unused = [price, quantity, flags >> 4]
        unused += [] if by_side else [sell]
        unused += [] if by_instrument else [instrument]
        unused += [] if by_account else [account]
        return not any(unused)

    def _is_picked(self, record: bytes, order: NaiveOrder) -> bool:
        _, _, _, instrument, account, _, flags = RECORD.unpack(record)
        wanted = []
        if flags & 2:
            wanted.append(order.sell == (flags & 1 == 1))
        if flags & 4:
            wanted.append(order.instrument == instrument)
        if flags & 8:
            wanted.append(order.account == account)
        return all(wanted)

    def _refusal(self, session: int, record: bytes) -> Reason:
        number, price, quantity, instrument, _, _, flags = RECORD.unpack(record)
        market, tif, post_only, stp = flags >> 1 & 1, flags >> 2 & 7, flags >> 5 & 1, flags >> 6
        if instrument not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if any((o.session, o.number) == (session, number) for o in self.resting):
            return Reason.DUPLICATE_NUMBER
        allowed = {0, 2, 3} if market else {0, 1, 2, 3, 4}
        if not 1 <= quantity <= LARGEST or tif not in allowed or (price != 0 if market else price < 1):
            return Reason.BAD_RECORD
        return Reason.NOT_SUPPORTED if tif == 4 or post_only or stp else Reason.NONE

    def _enter(self, order: NaiveOrder, flags: int, now_ns: int) -> None:
        market, tif = flags & 2 != 0, TimeInForce(flags >> 2 & 7)
        crossed = self._crossed(order, market)
        available = sum(o.open for o in crossed)
        immediate = market or tif in (TimeInForce.IOC, TimeInForce.FOK)
        told = {"exec_type": ExecType.NEW, "order": order.sequence, "input": order.sequence}
        self._tell(order.session, now_ns, final=not crossed and not immediate, **told)
        why = Reason.FOK if tif == TimeInForce.FOK else Reason.NO_LIQUIDITY if market else Reason.IOC
        if tif == TimeInForce.FOK and available < order.total:
            crossed = []
        self._trade(order, crossed, order.sequence, not immediate, now_ns)
        if order.open and immediate:
            self._cancel(order, order.sequence, why, now_ns)
        elif order.open:
            self._rest(order)

    def _crossed(self, taker: NaiveOrder, market: bool = False) -> list[NaiveOrder]:
        """Whom an order could trade with, in the order in which it would."""
        others = [o for o in self.resting if o.instrument == taker.instrument and o.sell != taker.sell]
        if not market:
            others = [o for o in others if (o.price >= taker.price if taker.sell else o.price <= taker.price)]
        return sorted(others, key=lambda o: (-o.price if taker.sell else o.price, o.arrival))

    def _trade(self, taker: NaiveOrder, makers: list[NaiveOrder], input_: int, rests: bool, now_ns: int) -> None:
        for maker in makers:
            lots = min(maker.open, taker.open)
            if lots == 0:
                break
            self.trades += 1
            maker.filled += lots
            taker.filled += lots
            if maker.open == 0:
                self.resting.remove(maker)
            last = taker.open == 0 or (rests and maker is makers[-1])
            for order, is_taker in ((maker, False), (taker, True)):
                told = self._about(order) | {"exec_type": ExecType.TRADE, "last_qty": lots, "last_px": maker.price}
                told["input"] = input_ if order.session == taker.session else 0
                told["final"] = is_taker and last
                self._tell(order.session, now_ns, taker=is_taker, trade_id=self.trades, **told)

    def _rest(self, order: NaiveOrder) -> None:
        self.arrivals += 1
        order.arrival = self.arrivals
        self.resting.append(order)
        self.resting.sort(key=lambda o: o.arrival)

    def _cancel(
        self, order: NaiveOrder, input_: int, reason: Reason, now_ns: int, *, final: bool | None = None
    ) -> None:
        self.resting = [o for o in self.resting if o is not order]
        told = self._about(order) | {"status": OrderStatus.CANCELED, "leaves_qty": 0, "reason": reason}
        final = input_ > 0 if final is None else final
        self._tell(order.session, now_ns, exec_type=ExecType.CANCELED, input=input_, final=final, **told)

    def _replace(self, order: NaiveOrder, input_: int, price: int, quantity: int, total: int, now_ns: int) -> None:
        if price < 1 or quantity < 1 or total > LARGEST:
            told = self._about(order) | {"exec_type": ExecType.REPLACE_REJECTED, "reason": Reason.BAD_RECORD}
            self._tell(order.session, now_ns, input=input_, final=True, **told)
            return
        if total <= order.filled:
            self._cancel(order, input_, Reason.REPLACED_BELOW_FILLED, now_ns)
            return
        keeps_priority = price == order.price and total <= order.total
        order.price, order.total, order.replaced = price, total, True
        crossed = self._crossed(order)
        told = self._about(order) | {"exec_type": ExecType.REPLACED, "input": input_, "final": not crossed}
        self._tell(order.session, now_ns, **told)
        if not keeps_priority:
            self.resting.remove(order)
            self._trade(order, crossed, input_, True, now_ns)
            if order.open:
                self._rest(order)

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

    def _tell(self, session: int, transact_time_ns: int, **values: object) -> None:
        reports = self.reports.setdefault(session, [])
        reports.append(Report(report=len(reports) + 1, transact_time_ns=transact_time_ns, **values))  # type: ignore[arg-type]
