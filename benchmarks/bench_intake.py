"""What a text order costs in orderd's own code: parsed, checked, staged, committed, confirmed, answered.

Run as ``python -m benchmarks.bench_intake``. No socket, no disk: the gateway is fed chunks and reports directly. Times
are of the processor, so that other work on the machine counts little; the yardstick is hiredis alone, parsing the same
bytes.
"""

import time
from collections.abc import Callable
from typing import Final

import hiredis

from orderd.dispatch.batching import BatchingSettings
from orderd.gateway import Gateway, GatewaySettings
from orderd.intake.access import Peer
from orderd.intake.context import LiveSettings
from orderd.intake.intake import IntakeLimits
from orderd.link.report_intake import Delivery
from orderd.link.terms import SenderSettings
from orderd.orders.desk import DeskLimits
from orderd.orders.modes import Mode
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.reports import encode_range

ORDERS: Final = 100_000
CHUNK_ORDERS: Final = 170
"""About what a chunk of 16 KiB holds."""


def main() -> None:
    """Print microseconds of processor time for one order."""
    chunks = [
        b"".join(_packed(number) for number in range(start, min(start + CHUNK_ORDERS, ORDERS)))
        for start in range(0, ORDERS, CHUNK_ORDERS)
    ]
    parsing = min(_time_of(_parse, chunks) for _ in range(3))
    for mode in (Mode.SYNC, Mode.FIRE_AND_FORGET):
        whole = min(_time_of(_run, chunks, mode) for _ in range(3))
        print(
            f"{mode.name:16} {whole:6.2f} us an order, {whole / parsing:5.1f} times hiredis' parsing ({parsing:.2f} us)"
        )


def _packed(number: int) -> bytes:
    packed: bytes = hiredis.pack_command(("ORDER.NEW", f"r{number:012}", "AAPL", "BUY", "1", "LIMIT", "1.00"))  # type: ignore[arg-type]
    return packed


def _time_of(work: Callable[..., None], *args: object) -> float:
    before = time.process_time()
    work(*args)
    return (time.process_time() - before) / ORDERS * 1e6


def _parse(chunks: list[bytes]) -> None:
    reader = hiredis.Reader()
    for chunk in chunks:
        reader.feed(chunk)
        while reader.gets() is not False:
            pass


class _NoControl:
    """Nobody changes settings here."""

    def set_mode(self, mode: Mode, by: str) -> None:
        raise NotImplementedError

    def ask_reload(self, by: str, done: Callable[[str | None], None]) -> None:
        raise NotImplementedError


def _gateway(mode: Mode) -> Gateway:
    settings = GatewaySettings(
        instruments=InstrumentTable([Instrument("AAPL", 1, "0.01", "1")]),
        desk=DeskLimits(),
        link=SenderSettings(),
        batching=BatchingSettings(),
        intake=IntakeLimits(),
    )
    gateway = Gateway(
        settings,
        LiveSettings(mode, 5.0),
        _NoControl(),
        journal_room=lambda: 1 << 40,
        room_reserved=0,
        info=dict,
        ask_book=lambda *_: None,
        monotonic=lambda: 0.0,
        time_ns=lambda: 0,
    )
    gateway.restore([], 1)
    gateway.open_link(1, 1, b"")
    return gateway


def _run(chunks: list[bytes], mode: Mode) -> None:
    gateway = _gateway(mode)
    connection = gateway.intake.connect(Peer(1, 0), 0.0)
    assert not isinstance(connection, bytes)
    desk, report = gateway.desk, 1
    for chunk in chunks:
        gateway.intake.feed(connection, chunk, 0.0, 0)
        gateway.take_entries()
        gateway.committed()
        gateway.intake.wake(0.0)
        first = desk.outcomes.confirmed_end
        count = desk.committed_end - first
        gateway.deliver([Delivery(report, encode_range(first, count, 0, final=True), count)], Path.UDP)
        report += count
        gateway.intake.wake(0.0)
        desk.trim()
        assert connection.out
        connection.out.clear()


if __name__ == "__main__":
    main()
