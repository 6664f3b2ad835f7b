"""What the bench shows of a second and of a run."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from orderd.ctl.bench.account import Tally
from orderd.ctl.bench.client import Client
from orderd.ctl.bench.closing import Closing
from orderd.ctl.bench.run import Plan, Run, Second
from orderd.ctl.bench.view import View, row, second_values, summary, summary_table
from orderd.ctl.errors import Unreachable

UDP = {"mode": "sync", "transport_state": "UDP_ENABLED", "transport_reason": "probes answered"}
GRPC = {"mode": "fire-and-forget", "transport_state": "GRPC_FALLBACK", "transport_reason": "4 retransmissions"}
PLAN = Plan("AAPL", "", 1000, 2.0, 1, 0.5, None, 1)


def tally(**counts: object) -> Tally:
    found = Tally(seconds=0.5)
    for name, value in counts.items():
        setattr(found, name, value)
    return found


def second(found: Tally, info: Mapping[str, str] = UDP, by_path: Mapping[str, int] | None = None) -> Second:
    return Second(1.0, found, info, by_path or {})


def a_run(**values: object) -> Run:
    clients: list[Client] = []
    run = Run(PLAN, clients, None, None, lambda _: None, 1.0)  # type: ignore[arg-type]
    run.due, run.sending_s, run.seconds = 2000, 2.0, 2.0
    for name, value in values.items():
        setattr(run, name, value)
    return run


def test_outcomes_tell_of_paths_by_their_replies() -> None:
    found = tally(sent=100, outcomes=100)
    found.paths.update(udp=30, grpc=10)
    values = second_values(second(found, by_path={"udp": 7}))
    assert (values["sent_per_second"], values["confirmed_per_second"], values["queued_share"]) == (200, 200, 0.0)
    assert values["paths"] == {"udp": 0.75, "grpc": 0.25}


def test_of_queued_orders_the_daemon_tells_the_paths() -> None:
    found = tally(sent=100, queued=100)
    values = second_values(second(found, by_path={"udp": 0, "grpc": 80}))
    assert (values["confirmed_per_second"], values["paths"]) == (160, {"udp": 0.0, "grpc": 1.0})
    values = second_values(second(found))
    assert (values["confirmed_per_second"], values["paths"]) == (None, None)


def test_a_change_of_mode_or_transport_is_in_the_next_row() -> None:
    before, after = second(tally()), second(tally(), GRPC)
    assert row(before, None).words == ("sync", "UDP_ENABLED", "")
    assert not row(before, before).is_marked
    shown = row(after, before)
    assert shown.words[:2] == ("sync -> fire-and-forget", "UDP_ENABLED -> GRPC_FALLBACK (4 retransmissions)")
    assert shown.is_marked
    assert row(after, after).words[:2] == ("fire-and-forget", "GRPC_FALLBACK")


def test_a_daemon_that_does_not_answer_is_told() -> None:
    shown = row(second(tally(), {}), second(tally()))
    assert shown.words[:2] == ("no answer", "no answer")


def test_errors_are_told_by_their_first_word() -> None:
    found = tally(unknown=3)
    found.errors.update(HALTED=2000, FULL=1)
    shown = row(second(found), None)
    assert (shown.words[2], shown.is_marked) == ("HALTED 2,000, FULL 1, UNKNOWN 3", True)


def test_a_stream_gets_lines_and_a_program_gets_objects(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        with View(Console(file=io.StringIO()), as_json=as_json) as view:
            view.second(second(tally(sent=10)))
            view.second(second(tally(), {}))
            view.second(second(tally(), GRPC))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["s", "sent/s", "answered/s"]
    # Compared with the last answer, not with the second that had none.
    assert "UDP_ENABLED -> GRPC_FALLBACK" in lines[3]
    assert [json.loads(line)["mode"] for line in lines[4:]] == ["sync", None, "fire-and-forget"]


def test_a_terminal_gets_a_table_that_keeps_changes_in_sight() -> None:
    screen = io.StringIO()
    with View(Console(file=screen, force_terminal=True, width=80, height=40), as_json=False) as view:
        view.second(second(tally(sent=10)))
        view.second(second(tally(), GRPC))
        for _ in range(20):
            view.second(second(tally(), GRPC))
    last = screen.getvalue().rsplit("sent/s", 1)[1]
    assert "daemon's mode fire-and-forget, transport GRPC_FALLBACK" in last
    assert "UDP_ENABLED -> GRPC_FALLBACK" in last


def test_all_confirmed_and_nothing_left_is_good() -> None:
    total = tally(sent=2000, outcomes=2000)
    values = summary(PLAN, a_run(), total, Closing(cancelled=2, confirmed=True), "bench-1")
    assert (values["ok"], values["confirmed"], values["notes"]) == (True, 2000, [])
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(values))
    assert "open, 1,000/s, 1 clients" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("run", "closing", "counts", "note"),
    [
        ({}, {"confirmed": True}, {"sent": 1500}, "could not keep up: sent 1,500 of 2,000"),
        ({}, {"confirmed": True}, {"sent": 2000, "outcomes": 0}, ""),
        ({}, {"confirmed": False}, {"sent": 2000, "outcomes": 2000}, "not all that was acknowledged is known"),
        (
            {},
            {"confirmed": True, "left_open": 2, "last_error": "NOPERM no"},
            {"sent": 2000, "outcomes": 2000},
            "2 orders may be open still: ids begin with bench-1 (NOPERM no)",
        ),
        ({"error": Unreachable("gone")}, {}, {"sent": 2000, "outcomes": 2000}, "ended early: gone"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(
    run: dict[str, object], closing: dict[str, Any], counts: dict[str, int], note: str
) -> None:
    total = tally(**{"outcomes": 1, **counts})
    values = summary(PLAN, a_run(**run), total, Closing(**closing), "bench-1")
    assert any(found.startswith(note) for found in values["notes"]) or not note
    assert values["ok"] == note.startswith("could not keep up")


@pytest.mark.parametrize("replies", [{}, {"udp": 40}], ids=["none tells", "some tell, before a change of mode"])
def test_paths_come_from_the_daemon_where_not_all_replies_tell(replies: dict[str, int]) -> None:
    info = {"orders_confirmed_udp_total": "150", "orders_confirmed_grpc_total": "20"}
    total = tally(sent=2000, queued=2000)
    total.paths.update(replies)
    run = a_run(confirmed_before={"udp": 100, "grpc": 0})
    values = summary(PLAN, run, total, Closing(confirmed=True, info=info), "bench-1")
    assert (values["paths"], values["paths_from"]) == ({"udp": 50, "grpc": 20}, "info")
