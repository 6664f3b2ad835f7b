"""What the clients of the simulation say: what is wrong in itself is refused, and nearly all else is taken."""

import random
from collections import Counter

import hiredis
import structlog

from tests.simulation.bad_commands import bad_command
from tests.simulation.intents import Intent, Kind, Transaction
from tests.simulation.shape import Shape
from tests.simulation.workload import Workload
from tests.support.site import Site, site_settings

COMMANDS = 400


def test_what_is_wrong_in_itself_is_refused_and_leaves_nothing_behind() -> None:
    site = Site(site_settings())
    client, workload = site.connect(), Workload(random.Random(1), Shape(), lambda: site.now_ns)
    seen = set()
    for _ in range(COMMANDS):
        intent = bad_command(workload)
        end = site.desk.table.end
        client.send(*intent.words)
        site.pump()
        (reply,) = client.replies()
        if intent.must_fail:
            assert isinstance(reply, hiredis.ReplyError), intent.words
            assert site.desk.table.end == end, intent.words
            seen.add(str(reply))
    assert len(seen) > 60


def test_nearly_all_else_is_taken() -> None:
    site = Site(site_settings())
    shape = Shape(bad=0.0, batch_records=60)
    client, workload = site.connect(), Workload(random.Random(2), shape, lambda: site.now_ns)
    client.call("HELLO", 3)
    said, errors = Counter[bytes](), Counter[bytes]()
    with structlog.testing.capture_logs():
        for _ in range(COMMANDS):
            site.advance(0.01)
            what = workload.next(resp3=False, admin=True)
            for intent in what.parts if isinstance(what, Transaction) else [what]:
                if intent.kind is Kind.SETTING:
                    continue
                name = intent.words[0]
                client.send(*intent.words)
                site.advance(0.5)
                (reply,) = client.replies()
                said[name] += 1
                errors[name] += isinstance(reply, hiredis.ReplyError)
    assert {b"ORDER.NEW", b"ORDER.BATCH", b"ORDER.CANCEL", b"ORDER.REPLACE", b"ORDER.MASSCANCEL", b"BOOK"} <= set(said)
    assert errors.total() < said.total() * 0.05


def test_ids_are_not_used_twice() -> None:
    workload = Workload(random.Random(3), Shape(bad=0.0), lambda: 0)
    made: list[Intent] = []
    for _ in range(COMMANDS):
        what = workload.next(resp3=True, admin=True)
        made += what.parts if isinstance(what, Transaction) else [what]
    ids = [intent.words[1] for intent in made if intent.kind in (Kind.ORDER, Kind.BATCH)]
    ids += [intent.words[intent.words.index(b"ID") + 1] for intent in made if intent.kind is Kind.REQUEST]
    assert len(set(ids)) == len(ids)
