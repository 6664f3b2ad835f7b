"""The one bridge between trio and asyncio: grpclib lives on an asyncio loop, everything else on trio's.

One asyncio loop in one thread, owned by a context manager of trio. Calls go both ways:

- :meth:`AsyncioBridge.run` waits in trio for a coroutine of asyncio. Cancelling the trio side cancels the asyncio task
  and waits for its end, so that whatever it held is let go when the cancelled scope ends. A result that was there
  already is delivered, not dropped.
- :meth:`AsyncioBridge.ask` hands trio a :class:`Promise` and gives asyncio the future that it keeps.

Rules and invariants:

- No task and no thread outlives the context manager: at its end what still runs in asyncio is cancelled and waited for.
- A loop that ends by itself is an error in the owner's nursery, and in every call that waits for it.
- What callbacks of libraries raise becomes one log line each, never a traceback on stderr.

The ways across are the documented ones of both sides: ``loop.call_soon_threadsafe`` and ``TrioToken.run_sync_soon``.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Generic, TypeVar

import outcome
import trio

from orderd.runtime.fields import one_line
from orderd.runtime.log import get_logger

CLOSE_TIMEOUT_S: Final = 10.0

log = get_logger("asyncio")

T = TypeVar("T")


class BridgeFailed(Exception):
    """The asyncio loop is gone, or threw a call away that nobody here cancelled."""


class Promise(Generic[T]):
    """What trio owes an asyncio caller. Kept or broken once, from trio's thread; later ones are ignored."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]") -> None:
        self._loop = loop
        self._future = future

    def keep(self, value: T) -> None:
        """The future gets ``value``."""
        self._settle(self._future.set_result, value)

    def break_(self, error: Exception) -> None:
        """The future raises ``error``."""
        self._settle(self._future.set_exception, error)

    def settle(self, function: Callable[[], T]) -> None:
        """The future gets what ``function`` returns or raises."""
        try:
            value = function()
        except Exception as error:  # noqa: BLE001 - it concerns the one who waits, not the one who answers
            self.break_(error)
        else:
            self.keep(value)

    def _settle(self, settle: Callable[[Any], None], value: Any) -> None:
        def settle_once() -> None:
            if not self._future.done():
                settle(value)

        # A loop that was closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle_once)


class _Call:
    """One trio task that waits for one asyncio task."""

    __slots__ = ("_function", "cancel", "task", "waiter")

    def __init__(self, function: Callable[[], Awaitable[Any]], waiter: trio.lowlevel.Task) -> None:
        self._function = function
        self.waiter = waiter
        self.task: asyncio.Task[Any] | None = None
        self.cancel: Callable[[], Any] | None = None
        """Raises trio's Cancelled; there once the trio side is cancelled."""

    async def main(self) -> Any:
        return await self._function()


class AsyncioBridge:
    """Made by :func:`open_bridge`."""

    def __init__(self) -> None:
        self._trio = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._calls: dict[_Call, None] = {}
        self._started = trio.Event()
        self._ended = trio.Event()
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run_loop, name="asyncio", daemon=True)

    # --- trio's side --------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What ``await function(*args)`` gives or raises in the asyncio loop.

        Raises :class:`BridgeFailed` when the loop ends before. Cancelled, it returns when the asyncio task has ended.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._ended.is_set():
            raise self._failure()
        call = _Call(lambda: function(*args), trio.lowlevel.current_task())
        self._calls[call] = None
        self._in_loop(self._begin, call)

        def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
            call.cancel = raise_cancel
            self._in_loop(self._cancel, call)
            return trio.lowlevel.Abort.FAILED

        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def _in_loop(self, function: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "started"
        # A loop that was closed meanwhile: the end of its thread wakes all who wait.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def _wake(self, call: _Call, result: "outcome.Outcome[Any]") -> None:
        if call not in self._calls:
            return
        del self._calls[call]
        if isinstance(result, outcome.Error) and isinstance(result.error, asyncio.CancelledError):
            failed = BridgeFailed("the call was cancelled within the asyncio loop")
            result = outcome.Error(failed) if call.cancel is None else outcome.capture(call.cancel)
        trio.lowlevel.reschedule(call.waiter, result)

    async def _watch(self) -> None:
        await self._ended.wait()
        if not self._closing:
            raise self._failure()

    def _failure(self) -> BridgeFailed:
        error = BridgeFailed("the asyncio loop is closed" if self._closing else "the asyncio loop ended by itself")
        error.__cause__ = self._error
        return error

    async def _close(self) -> None:
        self._closing = True
        if self._stop is not None:
            self._in_loop(self._stop.set)
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._ended.wait()
        if not self._ended.is_set():
            raise BridgeFailed(f"the asyncio loop does not end within {CLOSE_TIMEOUT_S} s")
        self._thread.join()

    # --- asyncio's side -----------------------------------------------------------------------------------------------

    def ask(self, take: Callable[[Promise[T]], None]) -> "asyncio.Future[T]":
        """From the asyncio loop: have ``take`` called in trio's thread, in which the promise is kept at some time.

        What ``take`` raises breaks the promise.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        promise = Promise(loop, future)

        def call() -> None:
            try:
                take(promise)
            except Exception as error:  # noqa: BLE001 - it would end trio's loop; whom it concerns is the one who asks
                promise.break_(error)

        self._trio.run_sync_soon(call)
        return future

    def _begin(self, call: _Call) -> None:
        def ended(task: "asyncio.Task[Any]") -> None:
            self._trio.run_sync_soon(self._wake, call, outcome.capture(task.result))

        call.task = asyncio.get_running_loop().create_task(call.main())
        call.task.add_done_callback(ended)

    @staticmethod
    def _cancel(call: _Call) -> None:
        if call.task is not None:
            call.task.cancel()

    def _run_loop(self) -> None:
        try:
            # On the way out it cancels and waits for what is left, then closes the loop.
            with asyncio.Runner() as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above; the owner raises it
            self._error = error
        finally:
            self._trio.run_sync_soon(self._thread_ended)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_tell)
        self._stop = asyncio.Event()
        self._trio.run_sync_soon(self._started.set)
        await self._stop.wait()

    def _thread_ended(self) -> None:
        self._ended.set()
        self._started.set()
        for call in list(self._calls):
            self._wake(call, outcome.Error(self._failure()))


@asynccontextmanager
async def open_bridge() -> AsyncIterator[AsyncioBridge]:
    """An asyncio loop for as long as the context lasts.

    Raises :class:`BridgeFailed` when the loop ends by itself, which cancels what runs within.
    """
    _quieten_libraries()
    bridge = AsyncioBridge()
    async with trio.open_nursery() as nursery:
        bridge._thread.start()
        try:
            await bridge._started.wait()
            nursery.start_soon(bridge._watch)
            yield bridge
        finally:
            await bridge._close()
        nursery.cancel_scope.cancel()


def _tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback or a task that nobody waits for failed: what a peer sent can do that within a library."""
    error = context.get("exception")
    log.warning("callback failed", error=one_line(f"{context['message']}: {error!r}" if error else context["message"]))


class _Lines(logging.Handler):
    """What grpclib and asyncio log, as one line each; what they call errors is told by whoever called them."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log.debug(one_line(record.getMessage()), logger=record.name, error=one_line(repr(error)) if error else "")


def _quieten_libraries() -> None:
    for name in ("asyncio", "grpclib"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(handler, _Lines) for handler in logger.handlers):
            logger.addHandler(_Lines())
