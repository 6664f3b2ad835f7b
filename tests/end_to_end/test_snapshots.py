"""Exactly once and in order while the engine makes snapshots and deletes its journal, whenever it is killed."""

import contextlib
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from orderd.journal.segment import segment_name
from orderd.journal.snapshots import snapshot_indexes, snapshot_name
from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.processes import Site, run_to_end, wait_until
from tests.support.scale import SCALE

MakeSite = Callable[..., Site]
KILLS = 5 * SCALE
ENGINE = {"journal.segment_bytes": 262_144, "snapshot.orders": 300}
ORDERD = {"reply_timeout_ms": 30_000, "limits.query_bytes_max": 65_536}


def journal_of(site: Site) -> Path:
    return Path(str(site.engine_settings["journal.directory"]))


def snapshots(site: Site) -> list[int]:
    return snapshot_indexes([path.name for path in journal_of(site).iterdir()])


def first_segment(site: Site) -> int:
    return min(int(path.stem) for path in journal_of(site).glob("*.segment"))


def state(site: Site, *words: str) -> dict[str, object]:
    ended = run_to_end(
        "engine", "hash", "--json", "--directory", str(journal_of(site)), *words, directory=site.directory
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def children(site: Site) -> list[str]:
    """Command lines of processes that make a snapshot of this site's engine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
            if "--child" in words and str(journal_of(site)) in words:
                found.append(" ".join(words))
    return found


def test_orders_are_placed_once_while_the_engine_is_killed_at_any_moment_of_its_snapshots(make_site: MakeSite) -> None:
    site = make_site(orderd=ORDERD, engine=ENGINE).start()
    loads: list[Load] = []
    chance = random.Random(1)
    for kill in range(KILLS):
        before = snapshots(site)
        loads.append(Load(site.socket_path, kill))
        loads[-1].start()
        wait_for_progress(loads[-1:], wait_until, 150)
        if kill % 2 == 0:
            # A child yields to all others, so it is left alone: killed is who takes over what it has just made.
            loads[-1].finish()
            wait_until(lambda before=before: snapshots(site) != before, "another snapshot is made")  # type: ignore[misc]
            time.sleep(chance.random() * 0.02)
        site.engine.kill()
        if kill % 3 == 0:
            # What it does not know of its reports any more is in a snapshot.
            site.orderd.kill()
        site.start_engine(wait=False)
        if kill % 3 == 0:
            site.start_orderd()
        loads[-1].finish()
    assert snapshots(site)
    check_exactly_once(site, loads)
    running = state(site)["hash"]
    site.engine.kill()
    wait_until(lambda: not children(site), "no child outlives its engine")
    assert state(site)["hash"] == running
    site.start_engine()
    check_exactly_once(site, loads)


def test_a_restart_without_the_newest_snapshot_gives_the_same_state(make_site: MakeSite) -> None:
    site = make_site(orderd=ORDERD, engine=ENGINE).start()
    loads: list[Load] = []
    while first_segment(site) == 1:
        # One load after another, since a child that makes a snapshot lets all others go first.
        loads.append(Load(site.socket_path, len(loads)))
        loads[-1].start()
        wait_for_progress(loads[-1:], wait_until, 150)
        loads[-1].finish()
        taken = snapshots(site)
        wait_until(lambda taken=taken: snapshots(site) != taken, "another snapshot is made")  # type: ignore[misc]
    site.wait_confirmed()
    site.engine.kill()
    expected = state(site)["hash"]
    newest, older = (journal_of(site) / snapshot_name(index) for index in snapshots(site)[:2])
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    assert state(site)["hash"] == expected
    site.start_engine()
    assert "snapshot cannot be used" in site.engine.log
    check_exactly_once(site, loads)
    site.engine.kill()
    # Neither of them: what is missing in front is not made up.
    for path in (newest, older, *journal_of(site).glob("*.snapshot")):
        path.write_bytes(b"x")
    site.engine.launch(*site.engine_words())
    assert site.engine.wait() == 3
    assert segment_name(1) in site.engine.log and "missing" in site.engine.log
