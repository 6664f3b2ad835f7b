"""The client for trio programs: any number of tasks share one connection.

Requests of all tasks travel together, in the order in which they were made. A task that is cancelled while it waits
leaves the others alone: the answer to its request is read and dropped. Whether an order of such a task was taken is
then known by its id only.
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import trio

from orderd.client import requests, stream
from orderd.client.errors import ClientError
from orderd.client.records import Numbered, batch_records
from orderd.client.replies import BatchOutcome, Book, Execution, Instrument, MassCancelOutcome, Order, Position
from orderd.client.requests import BLOCK_MS, PAGE_COUNT, Request
from orderd.client.settings import Ids, Settings
from orderd.client.trio_line import TrioLine
from orderd.client.values import Mode, NewOrder, Number, OrderOptions, Side

T = TypeVar("T")


class TrioClient:
    """As :class:`orderd.client.blocking.Client`, for any number of tasks; its methods are the same.

    A context manager: ``async with TrioClient(path) as client``. Its tasks end with it. Executions are read by
    ``async for execution in await client.executions()``.
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
        self._line = TrioLine(self._settings)
        self._ids = Ids(id_prefix)
        self._instruments: dict[str, Instrument] = {}
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(self._line.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Hangs up. Orders live on, unless :meth:`cancel_on_disconnect` is on."""
        assert self._nursery is not None and self._manager is not None, "it was entered"
        self._nursery.cancel_scope.cancel()
        self._nursery = None
        # An error of the block goes its way as it is: it is not one of these tasks.
        await self._manager.__aexit__(None, None, None)

    def _tasks(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("a TrioClient is of use only within `async with`")
        return self._nursery

    @property
    def connections(self) -> int:
        """Connections made so far: one more means that orders guarded on the last one are cancelled."""
        return self._line.connections

    async def call(self, request: Request[T]) -> T:
        """The result of a request of :mod:`orderd.client.requests`."""
        self._tasks()
        return await self._line.call(request)

    async def call_many(self, many: Iterable[Request[T]]) -> list[T | ClientError]:
        """The results in order, errors among them as values. The requests travel together."""
        self._tasks()
        return await self._line.call_many(list(many))

    async def command(self, *words: object) -> Any:
        """Any command, as text, bytes and whole numbers; its reply as it came. Not sent twice."""
        return await self.call(requests.command(*words))

    # --- orders -------------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id that is used nowhere else."""
        return self._ids.new()

    async def place(self, order: NewOrder) -> Order:
        """Places an order; the reply comes when its mode says."""
        return await self.call(self._place(order))

    async def limit(
        self, symbol: str, side: Side | str, quantity: Number, price: Number, **options: Unpack[OrderOptions]
    ) -> Order:
        """Places a limit order; options as in :class:`orderd.client.values.NewOrder`."""
        return await self.place(NewOrder(symbol, side, quantity, price, **options))

    async def market(self, symbol: str, side: Side | str, quantity: Number, **options: Unpack[OrderOptions]) -> Order:
        """Places a market order."""
        return await self.place(NewOrder(symbol, side, quantity, **options))

    async def place_many(self, orders: Iterable[NewOrder]) -> list[Order | ClientError]:
        """Places orders without waiting in between; what became of each, in order."""
        return await self.call_many([self._place(order) for order in orders])

    def _place(self, order: NewOrder) -> Request[Order]:
        return requests.place(order, order.cl_ord_id or self._ids.new())

    async def cancel(self, cl_ord_id: str, *, request_id: str | None = None, mode: Mode | str | None = None) -> Order:
        """Cancels an order. Too late: its true status, and reason ``TOO_LATE``."""
        return await self.call(requests.cancel(cl_ord_id, request_id or self._ids.new(), mode))

    async def replace(
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
        return await self.call(requests.replace(cl_ord_id, quantity, price, request_id, is_open=is_open, mode=mode))

    async def mass_cancel(
        self, *, symbol: str | None = None, side: Side | str | None = None, account: int | None = None
    ) -> MassCancelOutcome:
        """Cancels all open orders of the daemon, or those of a symbol, a side, an account."""
        return await self.call(requests.mass_cancel(symbol, side, account))

    async def status(self, cl_ord_id: str) -> Order:
        """How an order stands."""
        return await self.call(requests.status(cl_ord_id))

    async def wait(self, cl_ord_id: str, wait_ms: int = BLOCK_MS) -> Order:
        """How an order, or the one that a request is about, stands once that is confirmed, or after ``wait_ms``."""
        return await self.call(requests.wait(cl_ord_id, wait_ms))

    async def resolve(self, order: Order | str, timeout_s: float = 60.0) -> Order:
        """Waits until it is known what became of an order that is ``QUEUED`` or ``UNKNOWN``, or until ``timeout_s``."""
        cl_ord_id = order if isinstance(order, str) else order.cl_ord_id
        deadline = trio.current_time() + timeout_s
        while True:
            left_ms = int((deadline - trio.current_time()) * 1000)
            found = await self.wait(cl_ord_id, max(0, min(left_ms, BLOCK_MS)))
            if found.status.is_confirmed or left_ms <= 0:
                return found

    async def orders(
        self, *, is_open: bool = True, symbol: str | None = None, account: int | None = None
    ) -> AsyncIterator[Order]:
        """Open orders, or all that are remembered, by ascending order id, page by page."""
        after = 0
        while page := await self.call(requests.order_page(after, is_open=is_open, symbol=symbol, account=account)):
            for order in page:
                yield order
            if len(page) < PAGE_COUNT:
                return
            after = page[-1].order_id

    async def list_open(self, *, symbol: str | None = None, account: int | None = None) -> list[Order]:
        """All open orders."""
        return [order async for order in self.orders(symbol=symbol, account=account)]

    # --- batches ------------------------------------------------------------------------------------------------------

    async def reserve(self, count: int) -> int:
        """The first of ``count`` numbers that were never given out before."""
        return await self.call(requests.reserve(count))

    async def batch(
        self, records: bytes, *, batch_id: str | None = None, mode: Mode | str | None = None
    ) -> BatchOutcome:
        """Places records, all or none; :mod:`orderd.client.arrays` and ``records`` make them."""
        return await self.call(requests.batch(batch_id or self._ids.new(), records, mode))

    async def batch_of(
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
        known = await self._known({order.symbol for order in orders})
        first = await self.reserve(max(1, len(orders))) if first_number is None else first_number
        records = batch_records(orders, known, first)
        return Numbered(await self.batch(records, batch_id=batch_id, mode=mode), first)

    async def _known(self, symbols: set[str]) -> dict[str, Instrument]:
        if not symbols <= self._instruments.keys():
            self._instruments = await self.instruments()
        return self._instruments

    # --- reading ------------------------------------------------------------------------------------------------------

    async def executions(self, after: int | None = None, *, account: int | None = None) -> "TrioExecutions":
        """The stream of executions behind the one with the id ``after``; 0: from the first kept; None: from now on."""
        if after is None:
            await self.call(requests.settled_executions())
            after = stream.last_id(await self.info("executions"))
        line = TrioLine(self._settings, was_connected=self._line.was_connected)
        self._tasks().start_soon(line.run)
        return TrioExecutions(line, stream.Place(after, account))

    async def rebuild(self, *, account: int | None = None) -> stream.OpenOrders:
        """The open orders and the place in the stream that they belong to: what to do after ``Trimmed``."""
        exec_id, page = await self.call(requests.open_orders_at(0, account))
        orders = list(page)
        while len(page) == PAGE_COUNT:
            _, page = await self.call(requests.open_orders_at(page[-1].order_id, account))
            orders += page
        return stream.OpenOrders(exec_id, orders, account)

    async def book(self, symbol: str, depth: int = 10) -> Book:
        """The engine's book, ``depth`` levels of each side."""
        return await self.call(requests.book(symbol, depth))

    async def instruments(self) -> dict[str, Instrument]:
        """What can be traded, by symbol."""
        return await self.call(requests.instruments())

    async def positions(self, *, account: int | None = None, symbol: str | None = None) -> list[Position]:
        """Net positions and open quantities, by account and instrument, of at most a thousand."""
        return await self.call(requests.positions(account, symbol))

    async def info(self, section: str | None = None) -> dict[str, str]:
        """How the daemon is."""
        return await self.call(requests.info(section))

    async def ping(self) -> None:
        """A sign of life, to both sides."""
        await self.call(requests.ping())

    # --- the connection, administration -------------------------------------------------------------------------------

    async def cancel_on_disconnect(self, *, on: bool = True) -> None:
        """Orders placed from here on are cancelled when this connection ends, for whatever reason.

        The client connects again by itself and sets it again; but what was open is cancelled then, and is not placed
        again: watch :attr:`connections`, or the executions.
        """
        request = requests.cancel_on_disconnect(on=on)
        await self.call(request)
        self._line.greet_with("CANCELONDISCONNECT", request if on else None)

    async def deadman(self, silent_ms: int) -> None:
        """Orders placed from here on are cancelled if this connection says nothing for so long; 0: off.

        Any request counts, :meth:`ping` does. The executions of another connection, as :meth:`executions` has, do not.
        """
        request = requests.deadman(silent_ms)
        await self.call(request)
        self._line.greet_with("DEADMAN", request if silent_ms else None)

    async def trading(self, state: str | None = None, *, account: int | None = None) -> str:
        """Whether new orders are taken; or change that: ``ACTIVE``, ``REDUCING``, ``HALTED``."""
        return await self.call(requests.trading(state, account))

    async def mode(self, mode: Mode | str | None = None) -> str:
        """The daemon's mode; or put another in force."""
        return await self.call(requests.mode(mode))


class TrioExecutions:
    """As :class:`orderd.client.blocking.Executions`, for one task. Cancelled while it waits, it loses none."""

    def __init__(self, line: TrioLine, place: stream.Place) -> None:
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
        """Hangs up for good."""
        self._line.whole.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Execution:
        while not self._page:
            await self._fetch(BLOCK_MS)
        return self._place.told(self._page.pop())

    async def read(self, timeout_s: float = 0.0) -> list[Execution]:
        """What has come; waits up to ``timeout_s`` for something."""
        if not self._page:
            wait_ms = int(timeout_s * 1000)
            await self._fetch(wait_ms if wait_ms > 0 else None)
        found = [self._place.told(execution) for execution in reversed(self._page)]
        self._page.clear()
        return found

    async def _fetch(self, block_ms: int | None) -> None:
        newest = 0
        if self._place.asks_info(self._line.connections):
            info = await self._line.call(requests.info("executions"))
            newest = self._place.take_info(info, self._line.connections)
        try:
            page = await self._line.call(self._place.ask(block_ms))
        except trio.Cancelled:
            # The daemon would keep the next answer back until this one's time is over.
            self._line.hang_up()
            raise
        self._page = self._place.check(page, newest)[::-1]
