"""The rules over replies: each is held against what is durable, what the engine did, and what was said before."""

from typing import Any, Final

import hiredis

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.executions import ExecutionsTold
from tests.simulation.oracle.orders_told import OrdersTold, Pairs, pairs_of
from tests.simulation.oracle.rows import NAMES_BY_REASON, UNKNOWN_ORDER, Batch, Row
from tests.simulation.oracle.said import CANCEL, NEW
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Command

REQUESTS: Final = (b"ORDER.CANCEL", b"ORDER.REPLACE")
SILENT: Final = b"FIRE-AND-FORGET"


class Replies:
    """Of one site."""

    def __init__(self, site: Site, executions: ExecutionsTold) -> None:
        self._site = site
        self._orders = OrdersTold(site)
        self._executions = executions
        self._checks = {
            b"ORDER.NEW": self._new, b"ORDER.CANCEL": self._request, b"ORDER.REPLACE": self._request,
            b"ORDER.STATUS": self._status, b"ORDER.WAIT": self._status, b"ORDER.LIST": self._list,
            b"ORDER.BATCH": self._batch, b"ORDER.MASSCANCEL": self._mass, b"ORDER.RESERVE": self._reserve,
            b"EXEC.READ": executions.read, b"EXEC.SUBSCRIBE": executions.subscribed,
            b"EXEC.UNSUBSCRIBE": executions.unsubscribed, b"CLIENT": self._client, b"RESET": executions.unsubscribed,
        }  # fmt: skip

    def take(self, command: Command, reply: Any, tick: int, now: float) -> None:
        """A command is answered."""
        command.told, command.reply, command.told_at = True, reply, now
        is_error = isinstance(reply, hiredis.ReplyError)
        if command.queued:
            # How it is taken for EXEC, which brings its own answer.
            if is_error:
                self._refused(command, str(reply), tick, now)
            return
        if command.parts is not None:
            self._transaction(command, reply, tick, now)
            return
        if is_error:
            self._refused(command, str(reply), tick, now)
            return
        if command.said.is_wrong:
            raise Contradiction("wrong", f"{self._site.name}: {command} cannot be read, and was answered {reply!r}")
        check = self._checks.get(command.said.name)
        if check is not None:
            check(command, reply, tick, now)

    def _transaction(self, command: Command, reply: Any, tick: int, now: float) -> None:
        parts = [part for part in command.parts or () if not part.refused]
        if isinstance(reply, hiredis.ReplyError):
            for part in parts:
                self._refused(part, str(reply), tick, now)
            return
        if not isinstance(reply, list) or len(reply) != len(parts):
            raise Contradiction("transaction", f"{self._site.name}: {command} of {len(parts)} was answered {reply!r}")
        for part, answer in zip(parts, reply, strict=True):
            part.queued = False
            self.take(part, answer, tick, now)

    # --- errors -------------------------------------------------------------------------------------------------------

    def _refused(self, command: Command, text: str, tick: int, now: float) -> None:
        site, word = self._site, text.split(" ", 1)[0]
        what = f"{site.name}: {command} was answered -{text} at {now:.6f}"
        site.talk.refuse(command)
        origin = command.origin
        if origin is not None and len(origin.rows) > origin.possible and not self._has_spare(origin.rows):
            raise Contradiction("refused", f"{what}, and was journaled as {origin.rows}")
        if word == "NOTFOUND" and command.said.target:
            row = self._named(command.said.target)
            # The id may be that of a request about it, which came later, and may be forgotten sooner.
            named = site.names.get(command.said.target) or site.requests.get(command.said.target)
            if row is None or named is None or site.may_forget(row.order_id) or site.may_forget(named.order_id):
                return
            if 0 < named.committed_tick <= command.tick:
                raise Contradiction("notfound", f"{what}; it is {row}, journaled at {named.committed_at:.6f}")
        elif word == "DUPLICATE":
            self._duplicate(command, what)
        elif word == "TRIMMED":
            self._executions.trimmed(command, text, what)

    def _has_spare(self, rows: list[int]) -> bool:
        """Whether orderd itself may have said one of them."""
        found = [self._site.rows[order_id - 1] for order_id in rows]
        return any(row.kind == CANCEL and row.target is not None and row.target.guard for row in found)

    def _named(self, name: bytes) -> Row | None:
        """The order that an id leads to: its own, or that of a request about it."""
        order, request = self._site.names.get(name), self._site.requests.get(name)
        if order is None or (request is not None and request.order_id > order.order_id):
            # The id of an order that is forgotten may be that of a request by now.
            return request.target if request is not None else None
        return order

    def _duplicate(self, command: Command, what: str) -> None:
        """Only other content is one, and only what is durable counts."""
        site, origin, said = self._site, command.origin, command.said
        if origin is None:
            return
        if said.name == b"ORDER.BATCH":
            batch = site.batches.get(said.target)
            if batch is not None and batch.records == command.words[2] and not site.may_forget_batch(batch):
                raise Contradiction("duplicate", f"{what}; it is batch {batch.first}, and just that")
            return
        request_id = said.options.get(b"ID")
        name = said.target if said.name == b"ORDER.NEW" else request_id
        known = site.names.get(name or b"") or site.requests.get(name or b"")
        if known is None:
            raise Contradiction("duplicate", f"{what}, and nothing has that id")
        target = known.target
        if target is not None and (target is not site.names.get(target.name) or site.may_forget(target.order_id)):
            return  # That order was forgotten, and its id is another one's now, though that may not be journaled yet.
        if origin.rows and not site.may_forget(origin.rows[0]):
            raise Contradiction("duplicate", f"{what}; it is {known}, and just that")

    # --- orders -------------------------------------------------------------------------------------------------------

    def _says_confirmed(self, command: Command) -> bool | None:
        """Whether it is answered only when the engine has confirmed it; None if nobody can say."""
        mode = command.said.mode
        if mode:
            return mode != SILENT
        if self._site.talk.modes:
            return None
        return not self._site.limits.is_silent_mode

    def _new(self, command: Command, reply: Any, tick: int, now: float) -> None:
        pairs, site = pairs_of(reply), self._site
        waits = self._says_confirmed(command)
        what = f"{site.name}: {command} was answered {pairs} at {now:.6f}"
        if pairs.get("status") == "QUEUED" and waits:
            raise Contradiction("mode", f"{what}, and was to be confirmed first")
        if "cl_ord_id" in pairs and pairs["cl_ord_id"].encode() != command.said.target:
            raise Contradiction("ids", f"{what}, which is another order")
        row = self._orders.check(command, pairs, tick, now, least=self._least(command, pairs, what))
        if row is not None or pairs.get("status") == "QUEUED":
            self._check_taken(command, int(pairs["order_id"]), what)

    def _least(self, command: Command, pairs: Pairs, what: str) -> int:
        """The first state that a reply that waits for the confirmation may show."""
        if not self._says_confirmed(command) or pairs.get("status") in ("UNKNOWN", "QUEUED"):
            return 0
        row = self._site.rows_at(int(pairs["order_id"]))
        if row is None:
            return 0
        if row.confirmed < 0:
            raise Contradiction("early", f"{what}, and the engine has not committed it")
        return row.confirmed

    def _check_taken(self, command: Command, order_id: int, what: str) -> None:
        """That what is acknowledged is journaled as it was said."""
        origin = command.origin
        row = self._site.rows_at(order_id)
        if origin is None or row is None:
            raise Contradiction("durable", f"{what}, and it was not journaled")
        if row.batch is None and order_id - len(row.extensions) not in origin.rows:
            raise Contradiction("duplicate", f"{what}; {row} says something else")

    def _request(self, command: Command, reply: Any, tick: int, now: float) -> None:
        pairs, site = pairs_of(reply), self._site
        status, reason = pairs.get("status", ""), pairs.get("reason", "")
        what = f"{site.name}: {command} was answered {pairs} at {now:.6f}"
        waits = self._says_confirmed(command)
        # An id that is forgotten counts as new: it may be another order by now, or a request about another one.
        forgets = len(site.rows) > site.limits.remembered_max
        if status == "QUEUED" and waits and not forgets:
            raise Contradiction("mode", f"{what}, and was to be confirmed first")
        request = self._request_row(command)
        least = 0
        candidates = [request] if request is not None else self._rows_of(command)
        reasons = ("TOO_LATE", *(NAMES_BY_REASON[row.rejected] for row in candidates if row.rejected))
        if request is not None and waits and status not in ("UNKNOWN", "QUEUED"):
            if request.confirmed < 0:
                raise Contradiction("early", f"{what}; the engine has not committed {request}")
            least = request.confirmed
        row = self._orders.check(command, pairs, tick, now, least=least, reasons=reasons, may_queue=True)
        named = self._named(command.said.target)
        is_other = "cl_ord_id" in pairs and named is not None and pairs["cl_ord_id"].encode() != named.name
        if is_other and not forgets:
            raise Contradiction("ids", f"{what}, and {command.said.target!r} is {named}")
        # An id that was forgotten may be that of another order, of which the request was not.
        is_of_row = all(one.target is row for one in candidates)
        is_done = status in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
        if row is not None and is_of_row and reason == "TOO_LATE" and not is_done:
            raise Contradiction("too late", f"{what}, and it is not done")
        origin = command.origin
        if status != "UNKNOWN" and reason != "TOO_LATE" and origin is not None and not self._rows_of(command):
            raise Contradiction("durable", f"{what}, and no such request is in the journal")
        if status not in ("UNKNOWN", "QUEUED") and request is not None and waits and request.rejected:
            wanted = "TOO_LATE" if request.rejected == UNKNOWN_ORDER else NAMES_BY_REASON[request.rejected]
            if reason != wanted:
                raise Contradiction("rejected", f"{what}; the engine rejected {request}: {wanted}")

    def _request_row(self, command: Command) -> Row | None:
        """The record of this very request, where there can be no other."""
        request_id = command.said.options.get(b"ID")
        if request_id is not None:
            row = self._site.requests.get(request_id)
            return row if row is not None and not self._site.may_forget(row.order_id) else None
        origin = command.origin
        if origin is None or origin.sole is not command or len(origin.rows) != 1 or self._has_spare(origin.rows):
            return None
        return self._site.rows[origin.rows[0] - 1]

    def _rows_of(self, command: Command) -> list[Row]:
        """The records that say the same, perhaps by another id of the order: its own, or that of a request."""
        origin, said = command.origin, command.said
        if origin is None or said.key is None:
            return []
        name = self._named(said.target)
        ids = [name.name, *self._site.aliases.get(name.name, ())] if name is not None else []
        kind, request_id, _, *values = said.key
        keys = [said.key, *((kind, request_id, one, *values) for one in ids if one != said.target)]
        found = [other for key in keys if (other := self._site.talk.origins.get(key)) is not None]
        return [self._site.rows[order_id - 1] for other in found for order_id in other.rows]

    def _status(self, command: Command, reply: Any, tick: int, now: float) -> None:
        pairs = pairs_of(reply)
        self._orders.check(command, pairs, tick, now)
        named = self._named(command.said.target)
        if "cl_ord_id" in pairs and named is not None and pairs["cl_ord_id"].encode() != named.name:
            raise Contradiction("ids", f"{self._site.name}: {command} was answered {pairs}, and that is {named}")

    def _list(self, command: Command, reply: Any, tick: int, now: float) -> None:
        options, site = command.said.options, self._site
        listed = reply
        if b"POSITION" in options:
            listed = reply[b"orders"] if isinstance(reply, dict) else reply[3]
        after, count = int(options.get(b"AFTER", b"0")), int(options.get(b"COUNT", b"100"))
        found, before = list[int](), after
        for one in listed:
            pairs = pairs_of(one)
            self._orders.check(command, pairs, tick, now)
            order_id = int(pairs["order_id"])
            what = f"{site.name}: {command} lists {pairs} at {now:.6f}"
            if order_id <= before or len(found) == count:
                raise Contradiction("list", f"{what} behind {before}")
            found.append(order_id)
            before = order_id
        wanted = self._listed_at_least(command, after)
        if found[: len(wanted)] != wanted[: len(found)] or len(found) < min(count, len(wanted)):
            raise Contradiction("list", f"{site.name}: {command} lists {found} at {now:.6f}, of {wanted}")

    def _listed_at_least(self, command: Command, after: int) -> list[int]:
        """The orders that must be in it, if there is room."""
        options, rows = command.said.options, self._site.rows
        if command.said.target != b"ALL" or self._site.is_loose or len(rows) > self._site.limits.remembered_max:
            return []
        symbol, account = options.get(b"SYMBOL"), options.get(b"ACCOUNT")
        return [
            row.order_id
            for row in rows[after : command.rows]
            if row.kind == NEW
            and (symbol is None or row.market.symbol.encode() == symbol)
            and (account is None or row.fields[4] == int(account))
        ]

    # --- batches and others -------------------------------------------------------------------------------------------

    def _batch(self, command: Command, reply: Any, tick: int, now: float) -> None:
        pairs, site = pairs_of(reply), self._site
        what = f"{site.name}: {command} was answered {pairs} at {now:.6f}"
        status, waits = pairs["status"], self._says_confirmed(command)
        batch = site.batches.get(command.said.target)
        if batch is not None and batch.records != command.words[2]:
            batch = None
        if status == "UNKNOWN":
            self._check_unknown_batch(command, pairs, batch, what, now)
            return
        if batch is None:
            raise Contradiction("durable", f"{what}, and no such batch is in the journal")
        if (status == "QUEUED" and waits) or status not in ("QUEUED", "DONE"):
            raise Contradiction("mode", f"{what}, and was to be confirmed first")
        self._check_batch(batch, pairs, what)

    def _check_unknown_batch(self, command: Command, pairs: Pairs, batch: Batch | None, what: str, now: float) -> None:
        """Likewise as of an order: it has its number if it is durable."""
        site, reason, first = self._site, pairs["reason"], int(pairs["first_order_id"])
        self._orders.check_unknown(command, reason, first, what, now)
        if site.is_loose:
            return
        if bool(first) != (reason == "SENT") and reason != "NOT_SENT":
            raise Contradiction("unknown", f"{what}: it has a number if it was sent, and none if its commit failed")
        if first and (batch is None or batch.first != first):
            raise Contradiction("ids", f"{what}; it is {f'from {batch.first} on' if batch else 'not in the journal'}")
        if first or batch is None or site.may_forget_batch(batch):
            return
        if site.must_be_durable(site.rows[batch.first - 1], command):
            raise Contradiction("unknown", f"{what}, without its number; it was durable before it was asked")

    def _check_batch(self, batch: Batch, pairs: Pairs, what: str) -> None:
        orders = batch.end - batch.first - batch.extensions
        if pairs["batch_id"].encode() != batch.batch_id or int(pairs["first_order_id"]) != batch.first:
            raise Contradiction("ids", f"{what}; it is {batch.batch_id!r} from {batch.first} on")
        rejected, trades, accepted = (int(pairs[key]) for key in ("rejected", "trades", "accepted"))
        if int(pairs["orders"]) != orders or rejected > batch.rejected or trades > batch.trades:
            raise Contradiction(
                "batch", f"{what}; it has {orders} orders, {batch.rejected} rejected, {batch.trades} trades"
            )
        if pairs["status"] == "DONE":
            if not batch.confirmed:
                raise Contradiction("early", f"{what}, and the engine has not committed all of it")
            if (rejected, trades, accepted) != (batch.rejected, batch.trades, orders - batch.rejected):
                raise Contradiction("batch", f"{what}; it has {batch.rejected} rejected and {batch.trades} trades")

    def _mass(self, command: Command, reply: Any, tick: int, now: float) -> None:
        pairs, site, origin = pairs_of(reply), self._site, command.origin
        what = f"{site.name}: {command} was answered {pairs} at {now:.6f}"
        if pairs.get("status") == "UNKNOWN":
            self._orders.check_unknown(command, pairs["reason"], 0, what, now)
            return
        rows = [site.rows[order_id - 1] for order_id in origin.rows] if origin is not None else []
        counts = [row.cancelled for row in rows if row.confirmed >= 0]
        if int(pairs["cancelled"]) not in counts:
            raise Contradiction("mass cancel", f"{what}; those that the engine did cancelled {counts}")

    def _reserve(self, command: Command, reply: Any, tick: int, now: float) -> None:
        site, count = self._site, int(command.said.target)
        what = f"{site.name}: {command} was answered {reply!r} at {now:.6f}"
        if not isinstance(reply, int) or reply + count > site.reserved:
            raise Contradiction("reserve", f"{what}; the journal has given out those below {site.reserved}")
        if any(first < reply + count and reply < end for first, end in site.given):
            raise Contradiction("reserve", f"{what}; some of them were given out before")
        site.given.append((reply, reply + count))

    def _client(self, command: Command, reply: Any, tick: int, now: float) -> None:
        connection = command.connection
        if connection.guarding is command and command.words[2].upper() not in (b"OFF", b"0"):
            connection.is_guarded = True
