"""The blocking client: for programs that do one thing after the other."""

import os
from collections.abc import Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from orderd.client import requests, stream
from orderd.client.errors import ClientError
from orderd.client.line import Line
from orderd.client.records import Numbered, batch_records
from orderd.client.replies import BatchOutcome, Book, Execution, Instrument, MassCancelOutcome, Order, Position
from orderd.client.requests import BLOCK_MS, PAGE_COUNT, Request
from orderd.client.settings import Ids, Settings
from orderd.client.values import Mode, NewOrder, Number, OrderOptions, Side

T = TypeVar("T")


class Client:
    """A program's line to orderd. Connects with the first request, and again whenever the connection broke.

    What is not answered then is sent again; each order, cancel, replace and batch has an id, given or made here, by
    which the daemon knows it for what it is: it happens once. All methods raise
    :class:`orderd.client.errors.ClientError`; :class:`orderd.client.errors.Refused` says that nothing was taken.

    Threads may share a client; their requests take turns. A child process may go on with it: it has a connection and
    ids of its own there. ``id_prefix`` begins the ids made here and must be one that no other client uses, nor this
    program after a restart; the default is random.
    """

    def __init__(
        self,
        socket: str | os.PathLike[str] | None = None,
        *,
        name: str = "",
        timeout_s: float = 10.0,
        retry_s: float = 30.0,
        id_prefix: str | None = None,
    ) -> None:
        """See :class:`orderd.client.settings.Settings`; ``socket`` None is :func:`default_socket`."""
        self._settings = Settings.make(socket, name, timeout_s, retry_s)
        self._line = Line(self._settings)
        self._ids = Ids(id_prefix)
        self._instruments: dict[str, Instrument] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up. Orders live on, unless :meth:`cancel_on_disconnect` is on."""
        self._line.close()

    @property
    def connections(self) -> int:
        """Connections made so far: one more means that orders guarded on the last one are cancelled."""
        return self._line.connections

    def call(self, request: Request[T]) -> T:
        """The result of a request of :mod:`orderd.client.requests`."""
        return self._line.call(request)

    def call_many(self, many: Iterable[Request[T]]) -> list[T | ClientError]:
        """The results in order, errors among them as values. The requests travel together."""
        return [ticket.outcome() for ticket in self._line.exchange(list(many))]

    def command(self, *words: object) -> Any:
        """Any command, as text, bytes and whole numbers; its reply as it came. Not sent twice."""
        return self.call(requests.command(*words))

    # --- orders -------------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id that is used nowhere else."""
        return self._ids.new()

    def place(self, order: NewOrder) -> Order:
        """Places an order; the reply comes when its mode says."""
        return self.call(self._place(order))

    def limit(
        self, symbol: str, side: Side | str, quantity: Number, price: Number, **options: Unpack[OrderOptions]
    ) -> Order:
        """Places a limit order; options as in :class:`orderd.client.values.NewOrder`."""
        return self.place(NewOrder(symbol, side, quantity, price, **options))

    def market(self, symbol: str, side: Side | str, quantity: Number, **options: Unpack[OrderOptions]) -> Order:
        """Places a market order."""
        return self.place(NewOrder(symbol, side, quantity, **options))

    def place_many(self, orders: Iterable[NewOrder]) -> list[Order | ClientError]:
        """Places orders without waiting in between; what became of each, in order."""
        return self.call_many([self._place(order) for order in orders])

    def _place(self, order: NewOrder) -> Request[Order]:
        return requests.place(order, order.cl_ord_id or self._ids.new())

    def cancel(self, cl_ord_id: str, *, request_id: str | None = None, mode: Mode | str | None = None) -> Order:
        """Cancels an order. Too late: its true status, and reason ``TOO_LATE``."""
        return self.call(requests.cancel(cl_ord_id, request_id or self._ids.new(), mode))

    def replace(
        self,
        cl_ord_id: str,
        quantity: Number,
        price: Number,
        *,
        is_open: bool = False,
        request_id: str | None = None,
        mode: Mode | str | None = None,
    ) -> Order:
        """Gives an order a new total quantity, with ``is_open`` a new open quantity, and a new price."""
        request_id = request_id or self._ids.new()
        return self.call(requests.replace(cl_ord_id, quantity, price, request_id, is_open=is_open, mode=mode))

    def mass_cancel(
        self, *, symbol: str | None = None, side: Side | str | None = None, account: int | None = None
    ) -> MassCancelOutcome:
        """Cancels all open orders of the daemon, or those of a symbol, a side, an account."""
        return self.call(requests.mass_cancel(symbol, side, account))

    def status(self, cl_ord_id: str) -> Order:
        """How an order stands."""
        return self.call(requests.status(cl_ord_id))

    def wait(self, cl_ord_id: str, wait_ms: int = BLOCK_MS) -> Order:
        """How an order, or the one that a request is about, stands once that is confirmed, or after ``wait_ms``."""
        return self.call(requests.wait(cl_ord_id, wait_ms))

    def resolve(self, order: Order | str, timeout_s: float = 60.0) -> Order:
        """Waits until it is known what became of an order that is ``QUEUED`` or ``UNKNOWN``, or until ``timeout_s``."""
        cl_ord_id = order if isinstance(order, str) else order.cl_ord_id
        deadline = monotonic() + timeout_s
        while True:
            left_ms = int((deadline - monotonic()) * 1000)
            found = self.wait(cl_ord_id, max(0, min(left_ms, BLOCK_MS)))
            if found.status.is_confirmed or left_ms <= 0:
                return found

    def orders(self, *, is_open: bool = True, symbol: str | None = None, account: int | None = None) -> Iterator[Order]:
        """Open orders, or all that are remembered, by ascending order id, page by page."""
        after = 0
        while page := self.call(requests.order_page(after, is_open=is_open, symbol=symbol, account=account)):
            yield from page
            if len(page) < PAGE_COUNT:
                return
            after = page[-1].order_id

    def list_open(self, *, symbol: str | None = None, account: int | None = None) -> list[Order]:
        """All open orders."""
        return list(self.orders(symbol=symbol, account=account))

    # --- batches ------------------------------------------------------------------------------------------------------

    def reserve(self, count: int) -> int:
        """The first of ``count`` numbers that were never given out before."""
        return self.call(requests.reserve(count))

    def batch(self, records: bytes, *, batch_id: str | None = None, mode: Mode | str | None = None) -> BatchOutcome:
        """Places records, all or none; :mod:`orderd.client.arrays` and ``records`` make them."""
        return self.call(requests.batch(batch_id or self._ids.new(), records, mode))

    def batch_of(
        self,
        orders: Iterable[NewOrder],
        *,
        first_number: int | None = None,
        batch_id: str | None = None,
        mode: Mode | str | None = None,
    ) -> Numbered:
        """Places orders as a batch, numbered from ``first_number``, or from a number that is reserved for them.

        Raises ValueError for what a record cannot hold: a price that is no whole number of ticks, an id, a mode.
        """
        orders = list(orders)
        known = self._known({order.symbol for order in orders})
        first = self.reserve(max(1, len(orders))) if first_number is None else first_number
        records = batch_records(orders, known, first)
        return Numbered(self.batch(records, batch_id=batch_id, mode=mode), first)

    def _known(self, symbols: set[str]) -> dict[str, Instrument]:
        if not symbols <= self._instruments.keys():
            self._instruments = self.instruments()
        return self._instruments

    # --- reading ------------------------------------------------------------------------------------------------------

    def executions(self, after: int | None = None, *, account: int | None = None) -> "Executions":
        """The stream of executions behind the one with the id ``after``; 0: from the first kept; None: from now on."""
        if after is None:
            self.call(requests.settled_executions())
            after = stream.last_id(self.info("executions"))
        return Executions(Line(self._settings, was_connected=self._line.was_connected), stream.Place(after, account))

    def rebuild(self, *, account: int | None = None) -> stream.OpenOrders:
        """The open orders and the place in the stream that they belong to: what to do after ``Trimmed``."""
        exec_id, page = self.call(requests.open_orders_at(0, account))
        orders = list(page)
        while len(page) == PAGE_COUNT:
            _, page = self.call(requests.open_orders_at(page[-1].order_id, account))
            orders += page
        return stream.OpenOrders(exec_id, orders, account)

    def book(self, symbol: str, depth: int = 10) -> Book:
        """The engine's book, ``depth`` levels of each side."""
        return self.call(requests.book(symbol, depth))

    def instruments(self) -> dict[str, Instrument]:
        """What can be traded, by symbol."""
        return self.call(requests.instruments())

    def positions(self, *, account: int | None = None, symbol: str | None = None) -> list[Position]:
        """Net positions and open quantities, by account and instrument, of at most a thousand."""
        return self.call(requests.positions(account, symbol))

    def info(self, section: str | None = None) -> dict[str, str]:
        """How the daemon is."""
        return self.call(requests.info(section))

    def ping(self) -> None:
        """A sign of life, to both sides."""
        self.call(requests.ping())

    # --- the connection, administration -------------------------------------------------------------------------------

    def cancel_on_disconnect(self, *, on: bool = True) -> None:
        """Orders placed from here on are cancelled when this connection ends, for whatever reason.

        The client connects again by itself and sets it again; but what was open is cancelled then, and is not placed
        again: watch :attr:`connections`, or the executions.
        """
        request = requests.cancel_on_disconnect(on=on)
        self.call(request)
        self._line.greet_with("CANCELONDISCONNECT", request if on else None)

    def deadman(self, silent_ms: int) -> None:
        """Orders placed from here on are cancelled if this connection says nothing for so long; 0: off.

        Any request counts, :meth:`ping` does. The executions of another connection, as :meth:`executions` has, do not.
        """
        request = requests.deadman(silent_ms)
        self.call(request)
        self._line.greet_with("DEADMAN", request if silent_ms else None)

    def trading(self, state: str | None = None, *, account: int | None = None) -> str:
        """Whether new orders are taken; or change that: ``ACTIVE``, ``REDUCING``, ``HALTED``."""
        return self.call(requests.trading(state, account))

    def mode(self, mode: Mode | str | None = None) -> str:
        """The daemon's mode; or put another in force."""
        return self.call(requests.mode(mode))


class Executions:
    """The stream of executions from a place on, over a connection of its own. Iterating waits for what comes.

    Breaks of the connection and restarts of the daemon leave no gap and repeat nothing; the place can be kept and gone
    on from in another process. Raises :class:`orderd.client.errors.Trimmed` when the place is gone, and
    :class:`orderd.client.errors.Unanswered` when the daemon is away for longer than ``retry_s``: iterate on then.
    """

    def __init__(self, line: Line, place: stream.Place) -> None:
        self._line = line
        self._place = place
        self._page: list[Execution] = []
        """Those not told yet, last first."""

    @property
    def exec_id(self) -> int:
        """The last execution that was told."""
        return self._place.exec_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Execution:
        while not self._page:
            self._fetch(BLOCK_MS)
        return self._place.told(self._page.pop())

    def read(self, timeout_s: float = 0.0) -> list[Execution]:
        """What has come; waits up to ``timeout_s`` for something."""
        if not self._page:
            wait_ms = int(timeout_s * 1000)
            self._fetch(wait_ms if wait_ms > 0 else None)
        found = [self._place.told(execution) for execution in reversed(self._page)]
        self._page.clear()
        return found

    def _fetch(self, block_ms: int | None) -> None:
        newest = 0
        if self._place.asks_info(self._line.connections):
            info = self._line.call(requests.info("executions"))
            newest = self._place.take_info(info, self._line.connections)
        self._page = self._place.check(self._line.call(self._place.ask(block_ms)), newest)[::-1]
