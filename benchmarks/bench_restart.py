"""How long a restart takes: orderd with a million orders to remember, and an engine with a million to rerun.

Run as ``python -m benchmarks.bench_restart [orders]``. The journals are what the daemons write: orders go through the
desk, a core executes them, and its reports come back in frames of one datagram. The daemons are then started as
processes, and the time is from there to the line "ready" of their logs, which is written to "from the journal read".
Beside each start stands a yardstick of the machine, Python making a million small objects and looking each of them up.

orderd's orders are done when it starts: four in five have traded, the others were IOC or were cancelled.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.bench_matcher import GROUP_RECORDS, mixed_flow
from engine.core import EngineCore
from engine.inputs import Boot, EpochInput, InstrumentInput, OrdersInput
from engine.matcher import Matcher
from engine.restoring import APPLICATION as ENGINE
from engine.snapshot_maker import make_snapshot
from orderd.daemon import APPLICATION as ORDERD
from orderd.journal import Journal, RealDisk, open_journal
from orderd.link.report_intake import Delivery
from orderd.link.report_log import ReportLog
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.modes import Mode
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.wire import bodies, frames
from orderd.wire.paths import Path as Road
from orderd.wire.records import RECORD, RECORD_BYTES, Kind, Side, TimeInForce, new_flags
from orderd.wire.reports import check_items

ORDERS: Final = 1_000_000
GROUP: Final = 32
"""Text orders of one commit."""
BATCH: Final = 1000
TAIL_SHARE: Final = 0.1
"""Of the engine's orders, those behind its snapshot."""
INSTRUMENT: Final = Instrument("AAPL", 1, "0.01", "1")
ITEMS_BYTES: Final = 1472 - frames.OVERHEAD_BYTES - bodies.REPORTS.size
"""Report items of one datagram on Ethernet."""
START_NS: Final = 1_700_000_000_000_000_000
STEP_NS: Final = 100_000
READY_S: Final = 300.0
UTIME_AT: Final = 11
"""Of the fields of ``/proc/<pid>/stat`` behind the name, that with the time in user mode; see proc(5)."""

_BUY: Final = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.DAY)
_SELL: Final = new_flags(Side.SELL, market=False, time_in_force=TimeInForce.DAY)
_IOC: Final = new_flags(Side.SELL, market=False, time_in_force=TimeInForce.IOC)


def main() -> None:
    orders = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else ORDERS
    print(f"{'':44} {'ready':>8} {'yardstick':>10} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="orderd-bench-") as name:
        root = Path(name)
        engine_journal(root / "engine", orders)
        _line(f"engine, {orders:,} records to rerun", root, engine_command(root))
        make_snapshot(str(root / "engine"))
        _line(f"engine, a snapshot and {orders * TAIL_SHARE:,.0f} records", root, engine_command(root))
        for kind, fill in (("text", text_orders), ("batch", batches)):
            desk_journal(root / kind, orders, fill)
            _line(f"orderd, {orders:,} {kind} orders", root, orderd_command(root, root / kind))


def _line(what: str, root: Path, command: list[str]) -> None:
    yardstick = yardstick_s()
    ready, about = start_s(command, root / "log")
    print(f"{what:44} {ready:6.2f} s {yardstick:8.2f} s {ready / yardstick:>6.1f}   {about}", flush=True)


def yardstick_s() -> float:
    """What a million small objects and as many look-ups take here."""
    started = time.perf_counter()
    names = {b"%d" % i: i for i in range(1_000_000)}
    assert all(names[b"%d" % i] == i for i in range(1_000_000))
    return time.perf_counter() - started


def start_s(command: list[str], log: Path) -> tuple[float, str]:
    """From the start of a daemon until it is ready, and its peak of memory and processor time; then it is ended."""
    with open(log, "wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        try:
            while not re.search(rb"\bready\b", log.read_bytes()):
                if process.poll() is not None or time.perf_counter() > started + READY_S:
                    raise SystemExit(log.read_text())
                time.sleep(0.005)
            seconds = time.perf_counter() - started
            status = Path(f"/proc/{process.pid}/status").read_text()
            stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        finally:
            process.terminate()
            process.wait()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    cpu_s = (int(stat[UTIME_AT]) + int(stat[UTIME_AT + 1])) / os.sysconf("SC_CLK_TCK")
    return seconds, f"processor {cpu_s:5.2f} s, peak {int(peak[1]) // 1024 if peak else 0:,} MiB"


# --- orderd -----------------------------------------------------------------------------------------------------------


class Site:
    """A desk, its journal, and the matcher that executes what it commits."""

    def __init__(self, directory: Path) -> None:
        self.journal = new_journal(directory, ORDERD)
        limits = DeskLimits(orders_remembered_max=10**8, orders_unconfirmed_max=10**8, executions_in_memory=200_000)
        self.desk = Desk(InstrumentTable([INSTRUMENT]), limits, lambda: 2**40)
        self.now_ns = START_NS
        self._log = ReportLog()
        self._matcher = Matcher([INSTRUMENT.id])
        self._session = self._matcher.open_session(self.journal.journal_id, self._log)
        self.journal.commit(self.desk.start(nonce=1))
        self.desk.note_engine(1)

    def commit(self) -> None:
        """One group commit; what it has for the engine is executed, and reported for the next one."""
        desk, first = self.desk, self.desk.committed_end
        self.journal.commit(desk.take_entries())
        desk.committed()
        self.now_ns += STEP_NS
        if desk.committed_end > first:
            records = desk.outgoing(first, desk.committed_end - first, 0.0, self.now_ns)
            self._matcher.apply(self._session, first, records, self.now_ns)
        while desk.reports_next < self._log.next:
            number, _, data = self._log.read(desk.reports_next, ITEMS_BYTES)
            desk.apply(Delivery(number, data, check_items(data)[1]), Road.UDP)
            self._log.acknowledge(desk.reports_next)


def new_journal(directory: Path, application: bytes) -> Journal:
    """Empty, and without syncs: nobody measures the disk here."""
    settings = JournalSettings(directory=str(directory), durability="none")
    journal = open_journal(settings, application, RealDisk(), entropy_u64=1)
    list(journal.replay())
    return journal


def desk_journal(directory: Path, orders: int, fill: Callable[[Site, int], None]) -> None:
    """The journal of an orderd that took in so many orders, all of them done."""
    site = Site(directory)
    fill(site, orders)
    while site.desk.has_anything_staged:
        site.commit()
    assert site.desk.table.open == site.desk.unconfirmed == 0
    assert site.desk.table.done >= orders
    site.journal.close()


def flow(orders: int) -> Iterator[tuple[int, int, int, bool]]:
    """Price, quantity, flags, and whether it is cancelled: eight of ten trade in pairs, one is IOC, one cancelled."""
    for i in range(orders):
        turn = i % 10
        if turn < 8:
            yield 10_000, 100, _SELL if i & 1 else _BUY, False
        else:
            yield 20_000, 100, (_IOC if turn == 8 else _SELL), turn == 9


def text_orders(site: Site, orders: int) -> None:
    """Each with a command of its own, many clients at once: some to a commit."""
    entry = site.desk.entry
    for i, (price, quantity, flags, is_cancelled) in enumerate(flow(orders)):
        fields = (price, quantity, INSTRUMENT.id, i % 8, flags)
        row = entry.place(b"client%02d-%09d" % (i % 50, i), fields, Mode.SYNC, 0.0, site.now_ns)
        if is_cancelled:
            entry.request(row, Kind.CANCEL, 0, 0, None, Mode.SYNC, 0.0, site.now_ns)
        if i % GROUP == GROUP - 1:
            site.commit()


def batches(site: Site, orders: int) -> None:
    """In batches, which number their orders without a gap."""
    records = bytearray()
    for i, (price, quantity, flags, is_cancelled) in enumerate(flow(orders), 1):
        records += RECORD.pack(i, price, quantity, INSTRUMENT.id, i % 8, Kind.NEW, flags)
        if is_cancelled:
            records += RECORD.pack(i, 0, 0, INSTRUMENT.id, 0, Kind.CANCEL, 0)
        if i % BATCH == 0 or i == orders:
            draft = site.desk.entry.draft_batch(b"B%d" % i, bytes(records))
            site.desk.entry.place_draft(draft, Mode.BATCH, 0.0, site.now_ns)
            records.clear()
            site.commit()


def orderd_command(root: Path, directory: Path) -> list[str]:
    """orderd with this journal and no engine that answers."""
    settings = [f"listen.socket={root / 'orderd.sock'}", f"journal.directory={directory}", "journal.durability=none"]
    settings += ["engine.udp=127.0.0.1:9", "engine.grpc=127.0.0.1:9", "engine.embedded=false"]
    return [sys.executable, "-m", "orderd", "run", *_config(root), *_sets(settings)]


# --- the engine -------------------------------------------------------------------------------------------------------


def engine_journal(directory: Path, orders: int) -> None:
    """Of one session, whose orderd acknowledges at once; frames of a datagram each."""
    journal = new_journal(directory, ENGINE)
    core = new_core()

    def take(kind: int, payload: bytes) -> None:
        core.replay(kind, payload)
        journal.commit([(kind, payload)])

    text = f"{INSTRUMENT.symbol} {INSTRUMENT.tick} {INSTRUMENT.lot}"
    for entry in (InstrumentInput(INSTRUMENT.id, INSTRUMENT.digest, text), Boot(1), EpochInput(1, 1, 1)):
        take(*entry.encode())
    records, first = mixed_flow(orders), 1
    step, sealed = GROUP_RECORDS * RECORD_BYTES, False
    for at in range(0, len(records), step):
        part = records[at : at + step]
        if not sealed and at >= (1 - TAIL_SHARE) * len(records):
            journal.seal()
            sealed = True
        take(*OrdersInput(START_NS + at, 1, first, core._participants[1].receiver.log.next, part).encode())
        first += len(part) // RECORD_BYTES
    journal.close()


def new_core() -> EngineCore:
    """That reruns."""
    return EngineCore(engine_id=1, secret=b"", instruments=InstrumentTable([INSTRUMENT]))


def engine_command(root: Path) -> list[str]:
    """An engine with this journal, on ports that the kernel gives."""
    settings = [f"journal.directory={root / 'engine'}", "journal.durability=none", "snapshot.orders=0"]
    settings += ["listen.udp=127.0.0.1:0", "listen.grpc=127.0.0.1:0"]
    return [sys.executable, "-m", "engine", "run", *_config(root), *_sets(settings)]


def _config(root: Path) -> list[str]:
    path = root / "instruments.toml"
    path.write_text('[[instrument]]\nsymbol = "AAPL"\nid = 1\ntick = "0.01"\nlot = "1"\n', encoding="ascii")
    return ["--config", str(path)]


def _sets(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


if __name__ == "__main__":
    main()
