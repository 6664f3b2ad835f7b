"""gRPC in a simulated world: calls that are answered, refused, never answered, or cut while they are under way."""

from typing import TYPE_CHECKING, Literal

import attrs

from orderd.link.sender import SessionSender

if TYPE_CHECKING:
    from tests.support.lossy_link import OrderdEnd, World

Mood = Literal["up", "refused", "silent", "reply lost", "garbage"]
TIMEOUT = 1.0


@attrs.define(eq=False)
class Call:
    """One exchange. ``replies`` are what the engine answers to it."""

    end: "OrderdEnd"
    link: SessionSender
    frames: list[bytes]
    replies: list[bytes] = attrs.field(factory=list)
    done: bool = False


class Calls:
    """All calls of a world; ``mood`` is what becomes of new ones."""

    def __init__(self, world: "World") -> None:
        self.mood: Mood = "up"
        self.delay = 0.0005
        self.begun = 0
        self._world = world
        self._under_way: list[Call] = []

    def begin(self, end: "OrderdEnd", frames: list[bytes]) -> None:
        """Make a call; its end comes later."""
        call = Call(end, end.link, frames)
        self.begun += 1
        self._under_way.append(call)
        self._world.at(TIMEOUT, lambda: self.fail(call, "timed out"))
        if self.mood == "refused":
            self._world.at(self.delay, lambda: self.fail(call, "connection refused"))
        elif self.mood == "garbage":
            call.replies = [b"", b"x", bytes(64)]
            self._world.at(self.delay, lambda: self._answer(call))
        elif self.mood != "silent":
            self._world.at(self.delay, lambda: self._arrive(call))

    def cut(self) -> None:
        """All that is under way is reset."""
        for call in list(self._under_way):
            self.fail(call, "connection reset")

    def executed(self, call: Call) -> None:
        """The engine has answered all that it will."""
        if self.mood == "reply lost":
            return
        self._world.at(self.delay, lambda: self._answer(call))

    def fail(self, call: Call, reason: str) -> None:
        """It ends without a reply."""
        if self._ends(call):
            call.link.exchange_failed(reason, self._world.now)
            call.end.flush()

    def _arrive(self, call: Call) -> None:
        if call.done:
            return
        if self._world.engine.core is None:
            self.fail(call, "connection refused")
        else:
            self._world.engine.arrive_call(call)

    def _answer(self, call: Call) -> None:
        if self._ends(call):
            call.end.answered(call)

    def _ends(self, call: Call) -> bool:
        if call.done:
            return False
        call.done = True
        self._under_way.remove(call)
        return call.end.sender is call.link
