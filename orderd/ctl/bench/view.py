"""How ``orderctl bench`` shows itself: a row for each second, and a table at the end.

On a terminal the last seconds stand in a live table; without one each second is a line; with ``--json`` an object a
line. Where mode or state of the transport changed, both the old and the new one are shown.
"""

from collections import deque
from types import TracebackType
from typing import Any, Final, Self

import attrs
import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orderd.ctl import output
from orderd.ctl.bench.account import Tally
from orderd.ctl.bench.closing import Closing
from orderd.ctl.bench.run import Plan, Run, Second, confirmed_totals
from orderd.ctl.latency import shown_us

ROWS: Final = 15
MARKED_ROWS: Final = 5
HEADER_EVERY: Final = 20
COLUMNS: Final = (
    ("s", 6),
    ("sent/s", 10),
    ("answered/s", 11),
    ("QUEUED", 7),
    ("confirmed/s", 12),
    ("p50", 9),
    ("p99", 9),
    ("udp", 6),
    ("grpc", 6),
)
"""Numbers, with the width of each in a line; words follow."""
WORDS: Final = ("daemon's mode", "transport", "errors")


@attrs.frozen
class Row:
    """A second in words."""

    numbers: tuple[str, ...]
    words: tuple[str, ...]
    is_marked: bool
    """Something in it needs attention."""


def second_values(second: Second) -> dict[str, Any]:
    """A second for programs. ``confirmed_per_second`` and ``paths`` are null where nothing tells."""
    tally = second.tally
    by_path = dict(tally.paths) or dict(second.confirmed_by_path)
    total = sum(by_path.values())
    # Where replies are QUEUED they do not tell what was confirmed.
    confirmed = sum(second.confirmed_by_path.values()) if tally.queued else tally.outcomes
    is_told = not tally.queued or bool(second.confirmed_by_path)
    latency = tally.latency.percentiles_us()
    return {
        "second": round(second.at_s, 3),
        "sent_per_second": _per_second(tally.sent, tally),
        "acknowledged_per_second": _per_second(tally.acknowledged, tally),
        "queued_share": round(tally.queued / tally.acknowledged, 4) if tally.acknowledged else None,
        "confirmed_per_second": _per_second(confirmed, tally) if is_told else None,
        "unknown": tally.unknown,
        "errors": dict(tally.errors),
        "latency_us": {name: latency[name] for name in ("p50", "p99") if name in latency},
        "paths": {path: round(by_path.get(path, 0) / total, 4) for path in ("udp", "grpc")} if total else None,
        "mode": second.info.get("mode"),
        "transport_state": second.info.get("transport_state"),
        "transport_reason": second.info.get("transport_reason"),
    }


def _per_second(count: int, tally: Tally) -> int:
    return round(count / tally.seconds) if tally.seconds else 0


def row(second: Second, before: Second | None) -> Row:
    """A second for people; ``before`` is the one before it."""
    values = second_values(second)
    shares = values["paths"] or {}
    latency = values["latency_us"]
    numbers = (
        f"{second.at_s:.1f}",
        f"{values['sent_per_second']:,}",
        f"{values['acknowledged_per_second']:,}",
        _percent(values["queued_share"]),
        "-" if values["confirmed_per_second"] is None else f"{values['confirmed_per_second']:,}",
        *(shown_us(latency[name]) if name in latency else "-" for name in ("p50", "p99")),
        *(_percent(shares.get(path)) for path in ("udp", "grpc")),
    )
    mode, mode_changed = _change(second, before, "mode")
    transport, transport_changed = _change(second, before, "transport_state")
    if transport_changed and (reason := second.info.get("transport_reason")):
        transport = f"{transport} ({reason})"
    errors = _errors(second.tally)
    return Row(numbers, (mode, transport, errors), mode_changed or transport_changed or bool(errors))


def _change(second: Second, before: Second | None, key: str) -> tuple[str, bool]:
    now = second.info.get(key, "no answer" if not second.info else "?")
    was = before.info.get(key, now) if before is not None and second.info else now
    return (now, False) if was == now else (f"{was} -> {now}", True)


def _errors(tally: Tally) -> str:
    words = [f"{word} {count:,}" for word, count in tally.errors.most_common()]
    return ", ".join(words + [f"UNKNOWN {tally.unknown:,}"] * bool(tally.unknown))


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.1%}" if 0 < share < 0.1 or 0.9 < share < 1 else f"{share:.0%}"


class View:
    """Shows seconds as they pass. A context manager, within which nobody else prints."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._json = as_json
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal and not as_json else None
        )
        self._rows: deque[Row] = deque(maxlen=ROWS)
        self._marked: deque[str] = deque(maxlen=MARKED_ROWS)
        """Seconds with a change, which stay in sight."""
        self._before: Second | None = None
        self._lines = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def second(self, second: Second) -> None:
        """A second is over."""
        if self._json:
            output.print_json({"type": "second", **second_values(second)})
            return
        shown = row(second, self._before)
        # One without an answer is not what the next is compared with.
        self._before = second if second.info else self._before
        if self._live is None:
            self._line(shown)
        else:
            self._rows.append(shown)
            self._live.update(self._screen(), refresh=True)
            if shown.is_marked:
                self._marked.append(f"{shown.numbers[0]} s: {', '.join(filter(None, shown.words))}")

    def _line(self, shown: Row) -> None:
        if self._lines % HEADER_EVERY == 0:
            click.echo(_line([name for name, _ in COLUMNS], WORDS))
        self._lines += 1
        click.echo(_line(shown.numbers, shown.words))

    def _screen(self) -> Group:
        """Numbers in the table, words below it, so that they fit a narrow terminal."""
        table = Table(box=None, pad_edge=False)
        for name, _ in COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for shown in self._rows:
            table.add_row(*shown.numbers, style="yellow" if shown.is_marked else "")
        mode, transport, errors = self._rows[-1].words
        state = f"daemon's mode {mode}, transport {transport}" + (f", {errors}" if errors else "")
        return Group(
            table,
            Text(state, style="yellow" if self._rows[-1].is_marked else "green"),
            *(Text(marked, style="yellow") for marked in self._marked),
            Text("Ctrl-C ends it, with a summary.", style="dim"),
        )


def _line(numbers: Any, words: Any) -> str:
    cells = [text.rjust(width) for text, (_, width) in zip(numbers, COLUMNS, strict=True)]
    return f"{' '.join(cells)}  {words[0]:<15} {words[1]:<13} {words[2]}".rstrip()


def summary(plan: Plan, run: Run, total: Tally, closing: Closing, run_id: str) -> dict[str, Any]:
    """The account of the whole run, for programs. Latencies are microseconds."""
    due = total.sent if plan.rate is None else run.due
    paths, source = dict(total.paths), "replies"
    if total.queued or not paths:
        # Replies tell of none, or only of those before a change of mode.
        after, source = confirmed_totals(closing.info), "info"
        paths = {path: after[path] - before for path, before in run.confirmed_before.items() if path in after}
    ok = run.error is None and closing.confirmed and not closing.left_open and total.acknowledged > 0
    return {
        "run": run_id,
        "symbol": plan.symbol,
        "mode": plan.mode or "daemon",
        "loop": plan.loop,
        "rate": plan.rate,
        "clients": plan.clients,
        "batch": plan.batch,
        "pipeline": plan.pipeline if plan.rate is None else None,
        "due": due,
        "sent": total.sent,
        "acknowledged": total.acknowledged,
        "queued": total.queued,
        "confirmed": total.acknowledged if closing.confirmed else None,
        "rejected": total.rejected,
        "unknown": total.unknown,
        "errors": dict(total.errors),
        "unanswered": run.unanswered,
        "seconds": round(run.seconds, 3),
        "sent_per_second": round(total.sent / run.sending_s) if run.sending_s else 0,
        "acknowledged_per_second": round(total.acknowledged / run.seconds) if run.seconds else 0,
        "latency_us": total.latency.percentiles_us(),
        "late_us": total.late.percentiles_us(),
        "paths": paths,
        "paths_from": source,
        "cancelled_at_end": closing.cancelled,
        "left_open": closing.left_open,
        "interrupted": run.interrupted,
        "notes": _notes(plan, run, total, closing, due, run_id),
        "ok": ok,
    }


def _notes(plan: Plan, run: Run, total: Tally, closing: Closing, due: int, run_id: str) -> list[str]:
    """What a reader of the figures must know."""
    notes = []
    if run.error is not None:
        notes.append(f"ended early: {run.error}")
    elif total.sent < due:
        notes.append(
            f"could not keep up: sent {total.sent:,} of {due:,}; those not sent are in no figure, and latency is what "
            "this rate makes of it"
        )
    if run.unanswered:
        notes.append(f"{run.unanswered:,} orders have no answer; they may have been taken")
    if total.errors:
        notes.append(f"{total.errors.total():,} orders were refused, the last with: {total.last_error}")
    if total.acknowledged and not closing.confirmed:
        notes.append("not all that was acknowledged is known to be confirmed")
    if closing.left_open:
        why = f" ({closing.last_error})" if closing.last_error else ""
        what = f"ids begin with {run_id}" if plan.batch is None else f"account 0 of {plan.symbol}, one lot each"
        notes.append(f"{closing.left_open:,} orders may be open still: {what}{why}")
    if plan.rate is None:
        notes.append("closed loop: a client sends when it was answered, so latency leaves out what a stall kept back")
    return notes


def summary_table(values: dict[str, Any]) -> Table:
    """The same for people."""
    count = "{:,}".format
    pace = f"{values['rate']:,}/s" if values["rate"] is not None else f"{values['pipeline']} at a time"
    by_path = ", ".join(f"{path} {number:,}" for path, number in values["paths"].items())
    shown = {
        "mode": values["mode"],
        "loop": f"{values['loop']}, {pace}, {values['clients']} clients",
        "orders in a command": count(values["batch"] or 1),
        "due": count(values["due"]),
        "sent": f"{values['sent']:,} ({values['sent_per_second']:,}/s)",
        "acknowledged": f"{values['acknowledged']:,} ({values['acknowledged_per_second']:,}/s)",
        "of these QUEUED": count(values["queued"]),
        "confirmed": "not known" if values["confirmed"] is None else count(values["confirmed"]),
        "rejected": count(values["rejected"]),
        "unknown in time": count(values["unknown"]),
        "errors": ", ".join(f"{word} {number:,}" for word, number in values["errors"].items()) or "0",
        "new orders by path" if values["paths_from"] == "replies" else "daemon's orders by path": by_path or "not told",
        "cancelled at the end": count(values["cancelled_at_end"]),
        "seconds": f"{values['seconds']:.2f}",
    }
    for name, time_us in values["latency_us"].items():
        shown[f"latency {name}"] = shown_us(time_us)
    late = values["late_us"]
    if late and values["loop"] == "open":
        shown["sent late by"] = ", ".join(f"{name} {shown_us(late[name])}" for name in ("p50", "p99", "max"))
    return output.pairs_table(shown)
