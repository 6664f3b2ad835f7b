"""Snapshots of an engine: how long one takes to make, how long a start takes with it, and what an engine feels of it.

Run as ``python -m benchmarks.bench_snapshot [open orders]``. An engine's journal in a temporary directory holds so many
orders that rest and four times as many records of orders that came and went. It is executed from its first record;
then a child process makes a snapshot, as beside a running engine, and a start begins with that. Groups of an engine (44
records, executed and committed) are timed alone, and with such a child beside them.
"""

import gc
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.bench_matcher import GROUP_RECORDS, mixed_flow, resting_flow
from engine.core import EngineCore
from engine.inputs import Boot, EpochInput, InstrumentInput, OrdersInput
from engine.restoring import APPLICATION, restore_newest
from engine.snapshot_child import child_command
from engine.snapshot_maker import Made
from orderd.journal import Journal, Position, RealDisk, open_journal
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.wire.records import RECORD_BYTES

OPEN_ORDERS = 100_000
CHURN = 4
SESSION = 1
INSTRUMENT = Instrument("AAPL", 1, "0.01", "1")
SEGMENT_BYTES = 16 * 2**20
PACE_S = 0.002
"""A group comes every so often while groups are timed: 22,000 records/s."""
ALONE_S = 3.0


class Engine:
    """A core and its journal, fed by groups of one session whose orderd acknowledges at once."""

    def __init__(self, directory: str) -> None:
        # Without syncs: nobody measures the disk here.
        settings = JournalSettings(directory=directory, durability="none", segment_bytes=SEGMENT_BYTES)
        self.directory = directory
        self.journal: Journal = open_journal(settings, APPLICATION, RealDisk(), entropy_u64=1)
        list(self.journal.replay())
        self.core = new_core()
        self.first = 1
        text = f"{INSTRUMENT.symbol} {INSTRUMENT.tick} {INSTRUMENT.lot}"
        for entry in (InstrumentInput(1, INSTRUMENT.digest, text), Boot(1), EpochInput(SESSION, 1, 1)):
            self._take(*entry.encode())

    def feed(self, records: bytes) -> None:
        """One group."""
        log = self.core._participants[SESSION].receiver.log
        kind, payload = OrdersInput(self.first, SESSION, self.first, log.next, records).encode()
        self.first += len(records) // RECORD_BYTES
        self._take(kind, payload)

    def _take(self, kind: int, payload: bytes) -> None:
        self.core.replay(kind, payload)
        self.journal.commit([(kind, payload)])

    def seal(self) -> Position:
        """The boundary behind all of it."""
        position = self.journal.seal()
        assert position is not None
        return position


def new_core() -> EngineCore:
    """That reruns."""
    return EngineCore(engine_id=1, secret=b"", instruments=InstrumentTable([INSTRUMENT]))


def groups_of(records: bytes) -> list[bytes]:
    """As they come from frames."""
    step = GROUP_RECORDS * RECORD_BYTES
    return [records[at : at + step] for at in range(0, len(records), step)]


def renumbered(records: bytes, base: int) -> bytes:
    """The same records with other numbers."""
    out = bytearray(records)
    for at in range(0, len(out), RECORD_BYTES):
        number = int.from_bytes(out[at : at + 8], "little") + base
        out[at : at + 8] = number.to_bytes(8, "little")
    return bytes(out)


def start_child(engine: Engine) -> "subprocess.Popen[bytes]":
    """As the engine does."""
    words = child_command(engine.directory, engine.seal())
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def result_of(child: "subprocess.Popen[bytes]") -> Made:
    """Once it has ended."""
    assert child.stdout is not None
    with child:
        # Its standard input stays open: it ends with that.
        output = child.stdout.read()
        assert child.wait() == 0
    return Made.decode(output)


def timed_groups(
    engine: Engine, groups: list[bytes], until: float | None, child: "subprocess.Popen[bytes] | None"
) -> str:
    """Latencies of groups that come at a steady pace, until the child ends or the time is over."""
    times: list[float] = []
    due = time.perf_counter()
    for group in groups:
        if (until is not None and due > until) or (child is not None and child.poll() is not None):
            break
        due += PACE_S
        time.sleep(max(due - time.perf_counter(), 0))
        start = time.perf_counter()
        engine.feed(group)
        times.append(time.perf_counter() - start)
    times.sort()
    p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    return f"{len(times):6} groups, p50 {p50 * 1e6:6.0f} us, p99 {p99 * 1e6:6.0f} us, most {times[-1] * 1e3:6.2f} ms"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else OPEN_ORDERS
    gc.disable()
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(directory)
        churn = mixed_flow(CHURN * count)
        start = time.perf_counter()
        for group in groups_of(resting_flow(count)) + groups_of(renumbered(churn, 10**9)):
            engine.feed(group)
        seconds = time.perf_counter() - start
        live = len(engine.core._participants[SESSION].orders.live)
        print(f"from the first record  {seconds:7.2f} s  {(1 + CHURN) * count:,} records, {live:,} open at the end")
        made = result_of(start_child(engine))
        print(
            f"snapshot made          {made.seconds:7.2f} s  {made.size_bytes:,} bytes, by a child that reran all of it"
        )
        start = time.perf_counter()
        restored = restore_newest(RealDisk(), directory, 1, new_core)
        seconds = time.perf_counter() - start
        assert restored.position is not None
        print(f"start from it          {seconds:7.2f} s  {seconds / live * 1e6:.2f} s per million open orders")
        del restored
        pace = groups_of(renumbered(mixed_flow(2_000_000), 2 * 10**9))
        alone = timed_groups(engine, pace, time.perf_counter() + ALONE_S, None)
        print(f"an engine alone        {alone}")
        # Again from its first record, so that it takes its time.
        for path in (f"{directory}/{made.index:012d}.snapshot",):
            RealDisk().unlink(path)
        child = start_child(engine)
        beside = timed_groups(engine, pace[len(pace) // 2 :], None, child)
        print(f"beside a snapshot      {beside}")
        result_of(child)
        engine.journal.close()


if __name__ == "__main__":
    main()
