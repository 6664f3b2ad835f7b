"""Subscriptions to executions: pushes of RESP3, made as their client reads. Pure.

A subscription is a position in the stream. Pushes are made only while little waits to be written to the client, so that
one that does not read costs nothing and slows nobody; it goes on where it was when it reads again. Who has read all is
woken by the next execution, who wants one account's only by those of that account.

Many subscribers want the same bytes: they are made once, by pages of :data:`PAGE` ids.
"""

from collections import deque
from typing import TYPE_CHECKING, Final

from orderd.intake import render, replies
from orderd.intake.access import Role
from orderd.intake.execution_feed import ExecutionFeed, Progress, Walk
from orderd.orders.desk import Desk
from orderd.orders.executions import Execution

if TYPE_CHECKING:
    from orderd.intake.context import Client

PUSH_BYTES: Final = 8 * 1024
"""Pushes are made while less than this waits to be written."""
PAGE: Final = 64
PAGES_HELD: Final = 64
SINGLES_HELD: Final = 4096
ASKED_AT_ONCE: Final = 200
"""Executions that are read from the journal together."""
CLIENTS_AT_ONCE: Final = 16
"""Subscribers that are served before others have their turn."""
PROTOCOL: Final = 3


class Subscription:
    """One client's."""

    __slots__ = ("_hub", "account", "client", "held", "walk")

    def __init__(self, hub: "Subscriptions", client: "Client", account: int | None) -> None:
        self._hub = hub
        self.client = client
        self.account = account
        self.held: deque[Execution] = deque()
        """Found, and not pushed yet."""
        self.walk: Walk

    def execution_of_account(self, before: int) -> None:
        """See :class:`orderd.orders.executions.Watcher`."""
        self.walk.skip_to(before)
        self.wake()

    def wake(self) -> None:
        """There is something to do for it."""
        self._hub.ready.append(self.client)


class Subscriptions:
    """All of them. :attr:`ready` are clients for whom :meth:`pull` is to be called, when there is time."""

    def __init__(self, desk: Desk, feed: ExecutionFeed) -> None:
        self.ready: deque[Client] = deque()
        self._feed = feed
        self._log = feed.log
        self._pushes = _Pushes(desk)
        self._subscribed: dict[Client, Subscription] = {}
        self._idle: dict[Client, None] = {}
        self._seen = self._log.next

    def __len__(self) -> int:
        return len(self._subscribed)

    def __contains__(self, client: "Client") -> bool:
        return client in self._subscribed

    @property
    def await_executions(self) -> bool:
        """Whether somebody has read all that there is."""
        return bool(self._idle) or self._log.is_watched

    # --- begin and end ------------------------------------------------------------------------------------------------

    def begin(self, client: "Client", after: int, account: int | None) -> None:
        """Executions behind ``after`` are for ``client`` from now on; takes the place of a subscription that it had."""
        self._drop(client)
        subscription = Subscription(self, client, account)
        subscription.walk = self._feed.walk(after, account, subscription.wake)
        self._subscribed[client] = subscription

    def end(self, client: "Client") -> None:
        """It wants no more, nor what it asked for and did not hear of yet."""
        client.subscriptions_ended += 1
        self._drop(client)

    def _drop(self, client: "Client") -> None:
        subscription = self._subscribed.pop(client, None)
        self._idle.pop(client, None)
        if subscription is not None:
            subscription.walk.drop()
            if subscription.account is not None:
                self._log.unwatch(subscription.account, subscription)

    # --- pushes -------------------------------------------------------------------------------------------------------

    def take_ready(self) -> "list[Client]":
        """Clients to be served now; others may be left for the next turn."""
        if self._log.next != self._seen:
            self._seen = self._log.next
            self.ready.extend(self._idle)
            self._idle.clear()
        return [self.ready.popleft() for _ in range(min(len(self.ready), CLIENTS_AT_ONCE))]

    def pull(self, client: "Client") -> tuple[bytes, bool]:
        """What to push to ``client`` next, and whether there may be more at once."""
        subscription = self._subscribed.get(client)
        if subscription is None:
            return b"", False
        if client.closing or client.protocol != PROTOCOL:
            self._drop(client)
            return b"", False
        if client.role < Role.READ:
            return self._ended(client, b"NOPERM this connection may not read any more")
        if subscription.held:
            held = subscription.held
            return self._pushes.of([held.popleft() for _ in range(min(len(held), PAGE))]), True
        walk, log = subscription.walk, self._log
        if subscription.account is None and log.first_in_memory - 1 <= walk.after < log.last:
            data, after = self._pushes.behind(walk.after)
            walk.advance(after)
            return data, True
        progress, found = walk.step(ASKED_AT_ONCE)
        if progress is Progress.FOUND:
            subscription.held.extend(found)
        elif progress is Progress.END:
            if subscription.account is None:
                self._idle[client] = None
            else:
                log.watch(subscription.account, subscription)
        elif progress is Progress.TRIMMED:
            self._drop(client)
            return push(b"exec-trimmed", b"%d" % log.first), False
        elif progress is Progress.FAILED:
            return self._ended(client, b"UNAVAILABLE " + walk.error.encode("ascii", "replace"))
        return b"", progress in (Progress.FOUND, Progress.LOOKING)

    def _ended(self, client: "Client", why: bytes) -> tuple[bytes, bool]:
        self._drop(client)
        return push(b"exec-ended", why), False


def push(kind: bytes, value: bytes) -> bytes:
    """A push of two strings."""
    return b">2\r\n" + replies.bulk(kind) + replies.bulk(value)


class _Pushes:
    """Executions as pushes, made once for all who want them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pages: dict[int, bytes] = {}
        self._singles: dict[int, bytes] = {}

    def behind(self, after: int) -> tuple[bytes, int]:
        """The executions in memory behind ``after`` up to the end of a page, and the id of the last of them."""
        log = self._desk.executions
        first = after + 1
        page, offset = divmod(first, PAGE)
        end = min(log.next, (page + 1) * PAGE)
        is_whole = not offset and end == (page + 1) * PAGE
        data = self._pages.get(page) if is_whole else None
        if data is None:
            known = [self._singles.get(exec_id) for exec_id in range(first, end)]
            if None in known:
                data = self.of(log.read(after, end - first))
            else:
                data = b"".join(single for single in known if single is not None)
            if is_whole:
                if len(self._pages) >= PAGES_HELD:
                    del self._pages[next(iter(self._pages))]
                self._pages[page] = data
        return data, end - 1

    def of(self, executions: list[Execution]) -> bytes:
        """Their pushes."""
        singles = self._singles
        if len(singles) >= SINGLES_HELD:
            singles.clear()
        out = []
        for execution in executions:
            data = singles.get(execution.exec_id)
            if data is None:
                data = singles[execution.exec_id] = render.execution_push(self._desk, execution)
            out.append(data)
        return b"".join(out)
