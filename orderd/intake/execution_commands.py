"""Commands about executions: reading them, and having them pushed. Pure; docs/EXECUTIONS.md is about their use."""

from math import inf
from typing import Final

from orderd.intake import render, replies, words
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Reply
from orderd.intake.context import Client, Context
from orderd.intake.execution_feed import Progress, Walk
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.intake.subscriptions import PROTOCOL
from orderd.orders.errors import BadOrder, Refused, Trimmed
from orderd.orders.executions import Execution
from orderd.wire.records import VALUE_MAX

EXECUTIONS_AT_ONCE: Final = 250
RENDERED_AT_ONCE: Final = 125
"""Executions of a reply that are made before others have their turn."""
LOOKED_HELD: Final = 64
"""Accounts for which a connection's last look is remembered."""
ACCOUNT_MAX: Final = 65_535
BLOCK_MS_MAX: Final = 86_400_000


class ExecutionsReply(Pending):
    """Executions behind ``after``, journaled ones only; those that had arrived with the request are waited for.

    ``after`` None is from now on. ``block_until``: how long to wait for the next one if there is none; None for not at
    all.
    """

    __slots__ = (
        "_account", "_after", "_block_until", "_context", "_count", "_found", "_progress", "_rendered", "_walk"
    )  # fmt: skip

    def __init__(
        self, context: Context, after: int | None, count: int, account: int | None, block_until: float | None
    ) -> None:
        super().__init__(context.client.protocol, Mark.JOURNALED, context.desk.reports_next, context.deadline)
        self._context = context
        self._after = after
        self._count = min(count, EXECUTIONS_AT_ONCE)
        self._account = account
        self._block_until = block_until
        self._walk: Walk | None = None
        self._progress = Progress.LOOKING
        self._found: list[Execution] = []
        self._rendered: list[bytes] = []

    def settle(self) -> bool:
        if self._progress is not Progress.FOUND and not self._look():
            return False
        if self._render_some():
            return True
        self._wake_next_turn()
        return False

    def _look(self) -> bool:
        """Go on looking; whether there is something to be told. If not, mark and value say when to go on."""
        context = self._context
        walk = self._walk
        if walk is None:
            if self._after is None:
                self._after = context.desk.executions.last
            begin = _looked_up_to(context, self._account, self._after)
            walk = self._walk = context.services.executions.walk(begin, self._account, self._wake)
        self.mark, self.value, self.deadline = Mark.NEVER, 0, inf
        self._progress, self._found = walk.step(self._count)
        if self._progress is Progress.LOOKING:
            self._wake_next_turn()
            return False
        if self._progress is Progress.ASKED:
            return False
        if self._progress is not Progress.END:
            return True
        if self._account is not None and self._after is not None:
            _note_look(context.client, self._account, self._after, walk.after)
        if self._block_until is None:
            return True
        self.deadline = self._block_until
        if self._account is None:
            self.mark, self.value = Mark.EXECUTED, walk.after + 2
        else:
            context.desk.executions.watch(self._account, self)
        return False

    def _render_some(self) -> bool:
        begin = len(self._rendered)
        for execution in self._found[begin : begin + RENDERED_AT_ONCE]:
            self._rendered.append(render.execution(self._context.desk, self.protocol, execution))
        return len(self._rendered) == len(self._found)

    def execution_of_account(self, before: int) -> None:
        """See :class:`orderd.orders.executions.Watcher`."""
        if self._walk is not None:
            self._walk.skip_to(before)
        self._wake()

    def abandon(self) -> None:
        if self._walk is not None:
            self._walk.drop()
        if self._account is not None:
            self._context.desk.executions.unwatch(self._account, self)

    def _wake(self) -> None:
        self._wake_next_turn()
        self._context.settle_later(self)

    def _wake_next_turn(self) -> None:
        # Any mark that is always reached will do.
        self.mark, self.value = Mark.COMMITS, 0

    def render(self, unfinished: Unfinished | None) -> bytes:
        desk = self._context.desk
        if unfinished is not None:
            if self._walk is None:
                # The newest did not get into the journal in time; those that did are there.
                self.settle()
            self.abandon()
        if self._progress is Progress.TRIMMED:
            return replies.error("TRIMMED", str(desk.executions.first))
        if self._progress is Progress.FAILED:
            assert self._walk is not None
            return replies.error("UNAVAILABLE", f"the journal cannot be read: {self._walk.error}")
        if self._progress in (Progress.ASKED, Progress.LOOKING) and self._block_until is None:
            return replies.error("UNAVAILABLE", "not read in time")
        if not self._found and self._block_until is not None:
            return replies.null(self.protocol)
        while not self._render_some():
            pass
        return replies.array_header(len(self._found)) + b"".join(self._rendered)


def _looked_up_to(context: Context, account: int | None, after: int) -> int:
    """From where to look: one that asks again and again must not go through the same each time."""
    looked = context.client.looked
    if account is None or account not in looked:
        return after
    behind, up_to = looked[account]
    if not behind <= after <= up_to or (after == 0 and up_to + 1 < context.desk.executions.first):
        return after
    return up_to


def _note_look(client: Client, account: int, after: int, up_to: int) -> None:
    behind, before = client.looked.pop(account, (after, after))
    if not behind <= after <= before:
        behind = after
    if len(client.looked) >= LOOKED_HELD:
        del client.looked[next(iter(client.looked))]
    client.looked[account] = behind, up_to


class SubscribedReply(Pending):
    """OK, and from then on the pushes; those that had arrived with the request are behind ``$``, which is None."""

    __slots__ = ("_account", "_after", "_context", "_ended")

    def __init__(self, context: Context, after: int | None, account: int | None) -> None:
        super().__init__(context.client.protocol, Mark.JOURNALED, context.desk.reports_next, context.deadline)
        self._context = context
        self._after = after
        self._account = account
        self._ended = context.client.subscriptions_ended

    def render(self, unfinished: Unfinished | None) -> bytes:
        if unfinished is not None:
            return replies.error("UNAVAILABLE", "the journal did not take the newest executions in time")
        log, client = self._context.desk.executions, self._context.client
        after = log.last if self._after is None else self._after
        if after and after + 1 < log.first:
            return replies.error("TRIMMED", str(log.first))
        # It may have been taken back since.
        if client.subscriptions_ended == self._ended:
            self._context.services.subscriptions.begin(client, after, self._account)
        return replies.OK


@TABLE.add(
    "EXEC.READ", -2, role=Role.READ, group="executions", arguments="after_id [COUNT n] [BLOCK ms] [ACCOUNT n]",
    summary="Executions behind after_id: 0 from the first one kept, $ from now on. May return fewer than COUNT (100). "
    "BLOCK waits for the next one if there is none yet, 0 without end. With ACCOUNT only those of this account: then "
    "it looks on until it finds some, and an empty reply says that there are none up to now.",
    reply="array of [exec_id, pairs]; null when BLOCK runs out; -TRIMMED first_id if that position is gone",
    example="EXEC.READ 0 COUNT 10",
)  # fmt: skip
def exec_read(context: Context, args: list[bytes]) -> Reply:
    after = _after(args[0])
    count, block_until, account = 100, None, None
    for name, value in words.options(args[1:], {b"COUNT": 1, b"BLOCK": 1, b"ACCOUNT": 1}, frozenset()):
        if name == b"COUNT":
            count = words.integer(value, "COUNT", 1, VALUE_MAX)
        elif name == b"ACCOUNT":
            account = words.integer(value, "ACCOUNT", 0, ACCOUNT_MAX)
        else:
            milliseconds = words.integer(value, "BLOCK", 0, BLOCK_MS_MAX)
            block_until = context.now + milliseconds / 1000 if milliseconds else inf
    if after:
        _check_position(context, _looked_up_to(context, account, after))
    if context.in_transaction:
        block_until = None
    return ExecutionsReply(context, after, count, account, block_until)


@TABLE.add(
    "EXEC.SUBSCRIBE", -2, role=Role.READ, group="executions", arguments="after_id [ACCOUNT n]",
    summary="Have the executions behind after_id pushed, in order and without a gap, as fast as they are read: each is "
    "a RESP3 push of exec, exec_id and pairs. 0 is from the first one kept, $ from now on. A second subscription takes "
    "the place of the first. A reader that falls behind what is kept is told by a last push of exec-trimmed and "
    "first_id. Needs HELLO 3. [EXECUTIONS.md](EXECUTIONS.md) is about its use.",
    reply="OK, then pushes; -TRIMMED first_id if that position is gone",
    example="EXEC.SUBSCRIBE $",
)  # fmt: skip
def exec_subscribe(context: Context, args: list[bytes]) -> Reply:
    if context.client.protocol != PROTOCOL:
        raise Refused("EXEC.SUBSCRIBE needs RESP3: say HELLO 3 first")
    if context.in_transaction:
        raise Refused("EXEC.SUBSCRIBE cannot be in a transaction")
    after, account = _after(args[0]), None
    last = context.desk.executions.last
    if after is not None and after > last:
        raise BadOrder(f"after_id {after} is behind the last execution, {last}")
    if after:
        _check_position(context, after)
    for _, value in words.options(args[1:], {b"ACCOUNT": 1}, frozenset()):
        account = words.integer(value, "ACCOUNT", 0, ACCOUNT_MAX)
    return SubscribedReply(context, after, account)


@TABLE.add(
    "EXEC.UNSUBSCRIBE", 1, role=Role.READ, group="executions",
    summary="No more pushes; none comes behind the reply.", reply="OK, also if there was no subscription",
    example="EXEC.UNSUBSCRIBE",
)  # fmt: skip
def exec_unsubscribe(context: Context, _: list[bytes]) -> Reply:
    context.services.subscriptions.end(context.client)
    return replies.OK


def _after(word: bytes) -> int | None:
    """The position that a client names; None for from now on."""
    return None if word == b"$" else words.integer(word, "after_id", 0, VALUE_MAX)


def _check_position(context: Context, after: int) -> None:
    """Raises :class:`Trimmed` if what is behind ``after`` is gone."""
    first = context.desk.executions.first
    if after + 1 < first:
        raise Trimmed(str(first))
