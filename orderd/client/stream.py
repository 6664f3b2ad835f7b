"""A place in the stream of executions, and orders rebuilt where the stream no longer reaches back. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import attrs

from orderd.client import requests
from orderd.client.errors import ProtocolViolation, Trimmed
from orderd.client.replies import Execution, Order
from orderd.client.requests import Request
from orderd.client.values import ExecType, Side, Status

_OPEN: Final = (Status.NEW, Status.PARTIALLY_FILLED, Status.REPLACED)


@attrs.frozen
class OpenOrder:
    """What the stream and the list both tell of an order that may still trade."""

    order_id: int
    cl_ord_id: str
    symbol: str
    side: Side | None
    status: Status
    cum_qty: Decimal
    leaves_qty: Decimal


class OpenOrders:
    """The open orders from a list on, kept true by the executions behind it: docs/EXECUTIONS.md, "Beginning anew".

    Executions behind :attr:`exec_id` may say again what the list said; nothing is added up, so that does no harm. Once
    those up to a point behind the list are taken in, this is what the daemon has.
    """

    def __init__(self, exec_id: int, orders: Iterable[Order], account: int | None = None) -> None:
        self.exec_id = exec_id
        """The last execution that was taken in: go on with ``executions(after=orders.exec_id)``."""
        self.account = account
        self.by_id: dict[int, OpenOrder] = {}
        """By order id."""
        for order in orders:
            self.by_id[order.order_id] = OpenOrder(
                order.order_id,
                order.cl_ord_id,
                order.symbol,
                order.side,
                order.status,
                order.cum_qty,
                order.leaves_qty,
            )

    def take(self, execution: Execution) -> None:
        """Takes in the next execution."""
        self.exec_id = execution.exec_id
        if execution.exec_type in (ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED):
            return
        if self.account is not None and execution.account != self.account:
            return
        if execution.status in _OPEN:
            self.by_id[execution.order_id] = OpenOrder(
                execution.order_id,
                execution.cl_ord_id,
                execution.symbol,
                execution.side,
                execution.status,
                execution.cum_qty,
                execution.leaves_qty,
            )
        else:
            self.by_id.pop(execution.order_id, None)


class Place:
    """How far a reader has come. Nothing is told twice, and nothing is passed over."""

    def __init__(self, after: int, account: int | None = None) -> None:
        self.exec_id = after
        """The last execution that was told; 0: from the first one that is kept."""
        self._account = account
        self._found_nothing = False
        self._connections = -1
        """That had been made when it was last known that the place exists."""

    def asks_info(self, connections: int) -> bool:
        """Whether INFO is to be asked first, ``connections`` having been made so far.

        Of one account there may be nothing for long, and a place must not stay behind until it is gone. And behind
        another connection may be a daemon with another journal, which never came as far.
        """
        return self._found_nothing or (self.exec_id > 0 and connections != self._connections)

    def take_info(self, info: Mapping[str, str], connections: int) -> int:
        """What INFO said: the last execution that there is. Raises :class:`Trimmed` for a place behind that."""
        newest = last_id(info)
        if self.exec_id > newest:
            first = info.get("executions_first_id", "")
            raise Trimmed(f"TRIMMED {first} execution {self.exec_id} is behind the last one, {newest}")
        self._connections = connections
        return newest

    def ask(self, block_ms: int | None) -> Request[list[Execution]]:
        """What comes next; ``block_ms`` None: only what is there already."""
        return requests.executions(self.exec_id, account=self._account, block_ms=block_ms)

    def told(self, execution: Execution) -> Execution:
        """The reader got it."""
        self.exec_id = execution.exec_id
        return execution

    def check(self, page: list[Execution], newest: int = 0) -> list[Execution]:
        """A page that came for :meth:`ask`, as it is. Raises :class:`ProtocolViolation` for a gap or a repeat.

        ``newest`` is the last execution that there was, of any account, before it was asked for.
        """
        before = self.exec_id
        self._found_nothing = not page and self._account is not None
        if not page:
            self.exec_id = max(before, newest)
        for execution in page:
            follows = execution.exec_id == before + 1
            # The first kept may be any; those of one account have others between them.
            if not follows and (execution.exec_id <= before or (before and self._account is None)):
                raise ProtocolViolation(f"execution {execution.exec_id} does not follow {before}")
            before = execution.exec_id
        return page


def last_id(info: Mapping[str, str]) -> int:
    """The newest execution's id by INFO."""
    text = info.get("executions_last_id", "")
    if not (text.isascii() and text.isdigit()):
        raise ProtocolViolation("INFO has no executions_last_id")
    return int(text)
