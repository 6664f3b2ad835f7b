"""When the daemon says that it is ready, and what it says of the road to the engine from then on.

Ready is when orders can flow: the journal is read, clients are served, and the engine has answered. An engine that is
away does not keep a host from starting, since orders are taken and made durable without it: after a while the daemon is
ready anyway, and its status says what is missing.
"""

from collections.abc import Callable
from typing import Final

import trio
from trio_util import AsyncValue

from orderd.link.health import TransportState
from orderd.runtime.notify import Notifier

ENGINE_PATIENCE_S: Final = 10.0
"""How long readiness waits for the engine's first answer."""

STATUSES: Final = {
    TransportState.UDP_ENABLED: "orders go to the engine over UDP",
    TransportState.GRPC_FALLBACK: "orders go to the engine over gRPC",
    TransportState.ENGINE_DOWN: "the engine does not answer, orders are taken and kept",
}


async def tell(
    notifier: Notifier, transport: AsyncValue[TransportState], told: Callable[[], None] = lambda: None
) -> None:
    """Tell readiness once clients are served, then each change of ``transport``, until cancelled.

    ``told`` is called when readiness was told.
    """
    with trio.move_on_after(ENGINE_PATIENCE_S):
        await transport.wait_value(lambda state: state is not TransportState.ENGINE_DOWN)
    state = transport.value
    await notifier.insist("READY=1", f"STATUS={_status(state)}")
    told()
    while True:
        state = await transport.wait_value(lambda value, told=state: value is not told)
        notifier.status(_status(state))


def _status(state: TransportState) -> str:
    return f"{state.value}: {STATUSES[state]}"
