"""What a reply may say of an order: that it is one, how it stands, and nothing that it has left behind.

An order's states are known one by one (:mod:`tests.simulation.oracle.outcomes`). What a reply shows must be one of
them: not before what whoever asked could know already, and not beyond what the engine has committed. Its ``order_id``
is that of an order in the journal; only of one that may not be there yet it is 0, with ``UNKNOWN``.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.limits import SLACK_S, UNBOUNDED
from tests.simulation.oracle.rows import NAMES_BY_REASON, QUEUED, STATUSES, Row, State
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Command

Pairs = dict[str, str]
UNKNOWN_REASONS: Final = ("NOT_SENT", "SENT", "JOURNAL", "FORGOTTEN")


def pairs_of(reply: Any) -> Pairs:
    """Pairs in either protocol, as text; empty if it is none."""
    if isinstance(reply, dict):
        items: Iterable[tuple[Any, Any]] = reply.items()
    elif isinstance(reply, list) and len(reply) % 2 == 0:
        items = zip(reply[::2], reply[1::2], strict=True)
    else:
        return {}
    return {_text(key): _text(value) for key, value in items}


def _text(value: Any) -> str:
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else repr(value)


def shown_states(row: Row, least: int) -> str:
    """For people: all that it may be shown as, and what it was before."""
    lines = [
        f"{i}{'' if i >= least else ' (over)'}: {STATUSES[state.status]} {state.cum}/{state.total} lots "
        f"{NAMES_BY_REASON[state.reason]}"
        for i, state in enumerate(row.states)
    ]
    return "; ".join(lines)


class OrdersTold:
    """The rules, for one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def check(
        self, command: Command, pairs: Pairs, tick: int, now: float, *, least: int = 0, reasons: tuple[str, ...] = (),
        may_queue: bool = False,
    ) -> Row | None:  # fmt: skip
        """An order's pairs in a reply to ``command``.

        ``least`` is the first of its states that may be shown; ``reasons`` are what may stand in place of its own.
        ``may_queue``: the status may be QUEUED although that of the order is another. Returns the order if it is
        durable, and the reply says how it stands.
        """
        what = f"{self._site.name}: {command} was answered {pairs} at {now:.6f}"
        status, reason = pairs.get("status", ""), pairs.get("reason", "")
        if status == "UNKNOWN":
            self.check_unknown(command, reason, int(pairs.get("order_id", 0)), what, now)
            self._check_numbered(command, pairs, what)
        if reason == "FORGOTTEN" and "cl_ord_id" not in pairs:
            if self._site.limits.remembered_max == UNBOUNDED:
                raise Contradiction("forgotten", f"{what}; nothing is ever forgotten here")
            return None
        row = self._row(pairs, what)
        if row is None:
            return None
        floor = max(least, row.floor(command.tick))
        found = self._state_of(row, pairs, reasons, floor, may_queue=may_queue)
        if found is None:
            late = "" if not floor else f", and {floor} was so before"
            raise Contradiction("state", f"{what}; order {row} may be {shown_states(row, floor)}{late}")
        self._check_path(row, pairs, command, what)
        if self._site.is_up and command.connection.life == self._site.life:
            # What a life told that has ended meanwhile, the next one may have to hear again.
            row.note_known(tick, found)
            if status != "UNKNOWN":
                self._site.sure_rows = max(self._site.sure_rows, row.order_id)
        return None if status in ("UNKNOWN", "QUEUED") else row

    def _row(self, pairs: Pairs, what: str) -> Row | None:
        name, order_id = pairs["cl_ord_id"].encode(), int(pairs["order_id"])
        if not order_id and pairs["status"] == "UNKNOWN":
            # It may never become durable. Whether it is was checked with the reason.
            return None
        row = self._site.rows_at(order_id)
        if row is None:
            if self._site.is_loose:
                return None
            raise Contradiction("durable", f"{what}, and {order_id} is not in the journal: {len(self._site.rows)} is")
        if row.name != name or not row.states:
            raise Contradiction("ids", f"{what}; {order_id} is {row}")
        _number, _, _, _instrument, _, _, flags = row.fields
        if pairs["symbol"] != row.market.symbol or pairs["side"] != ("BUY", "SELL")[flags & 1]:
            raise Contradiction("state", f"{what}; order {row} is for {row.market.symbol}, flags {flags:08b}")
        return row

    def _state_of(self, row: Row, pairs: Pairs, reasons: tuple[str, ...], floor: int, *, may_queue: bool) -> int | None:
        """The first state from ``floor`` on that the pairs may be about."""
        for index in range(floor, len(row.states)):
            if self._fits(row, row.states[index], pairs, reasons, may_queue=may_queue):
                return index
        return None

    def _fits(self, row: Row, state: State, pairs: Pairs, reasons: tuple[str, ...], *, may_queue: bool) -> bool:
        market, status, total = row.market, pairs["status"], state.total
        left = 0 if state.is_done else total - state.cum
        if (
            pairs["quantity"] != market.quantity(total)
            or pairs["cum_qty"] != market.quantity(state.cum)
            or pairs["leaves_qty"] != market.quantity(left)
            or pairs["avg_px"] != market.average(state.notional, state.cum)
            or not self._fits_extensions(row, state, pairs)
        ):
            return False
        if status == "UNKNOWN" or (may_queue and status == "QUEUED"):
            return True
        reason = pairs.get("reason", "")
        return status == STATUSES[state.status] and (reason == NAMES_BY_REASON[state.reason] or reason in reasons)

    def _fits_extensions(self, row: Row, state: State, pairs: Pairs) -> bool:
        if not row.extensions:
            return not pairs.keys() & {"stop_px", "display_qty", "min_qty", "expire_time", "triggered"}
        said, market = dict(row.extensions), row.market
        return (
            pairs.get("stop_px") == (market.price(said[1]) if 1 in said else None)
            and pairs.get("display_qty") == (market.quantity(said[2]) if 2 in said else None)
            and pairs.get("min_qty") == (market.quantity(said[3]) if 3 in said else None)
            and pairs.get("expire_time") == (_moment(said[4]) if 4 in said else None)
            and pairs.get("triggered") == ((b"1" if state.triggered else b"0").decode() if 1 in said else None)
        )

    def _check_path(self, row: Row, pairs: Pairs, command: Command, what: str) -> None:
        path = pairs["path"]
        if path not in ("none", "udp", "grpc"):
            raise Contradiction("path", what)
        if row.path and row.floor(command.tick) and path != row.path and pairs["status"] != "QUEUED":
            raise Contradiction("path", f"{what}; the journal says {row.path}")
        if path == "none" and pairs["status"] not in ("QUEUED", "UNKNOWN"):
            raise Contradiction("path", f"{what}; something has confirmed it")

    def check_unknown(self, command: Command, reason: str, order_id: int, what: str, now: float) -> None:
        site = self._site
        if reason not in UNKNOWN_REASONS:
            raise Contradiction("unknown", f"{what}, for no reason that exists")
        if reason == "NOT_SENT" and (row := self._applied_before(command, order_id)) is not None:
            raise Contradiction("unknown", f"{what}; the engine had {row} before it was asked")
        patience_s = site.limits.reply_timeout_s
        if command.said.name == b"ORDER.WAIT":
            patience_s = int(command.words[2]) / 1000
        timely = now - command.at >= patience_s - SLACK_S or reason == "FORGOTTEN"
        if not timely:
            site.excuse(command.connection.life, f"{what}, and nothing had ended its patience")

    def _check_numbered(self, command: Command, pairs: Pairs, what: str) -> None:
        """That an order has its number if it is surely durable, and none if it surely is not."""
        site, reason, order_id = self._site, pairs["reason"], int(pairs["order_id"])
        if order_id and reason == "JOURNAL" and command.said.name == b"ORDER.NEW":
            raise Contradiction("unknown", f"{what}, with a number that another order may get")
        if order_id:
            return
        if reason in ("SENT", "FORGOTTEN"):
            raise Contradiction("unknown", f"{what}, without its number: only what is durable is sent")
        row = site.names.get(pairs["cl_ord_id"].encode())
        if row is not None and site.must_be_durable(row, command) and not site.may_forget(row.order_id):
            raise Contradiction("unknown", f"{what}, without its number; {row} was durable before it was asked")

    def _applied_before(self, command: Command, order_id: int) -> Row | None:
        """The order, or request, that the reply is about, if the engine had it before the command was said."""
        origin = command.origin
        if command.said.name != b"ORDER.NEW":
            is_it = origin is not None and len(origin.rows) == 1 and origin.sole is command
            order_id = origin.rows[0] if origin is not None and is_it else 0
        row = self._site.rows_at(order_id)
        return row if row is not None and 0 < row.applied_tick < command.tick else None


def _moment(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0") + "Z" if fraction else f"{text}Z"


QUEUED_STATUS: Final = STATUSES[QUEUED]
