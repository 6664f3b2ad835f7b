"""Random lives of clients that vanish, under kills of orderd and the engine, slow disks and an engine that is away."""

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders import withdrawals
from orderd.wire.records import RECORD, Kind
from tests.support.scale import examples
from tests.support.site import SESSION, Client, Site, pairs_of, site_settings

CLIENTS = 3
steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, CLIENTS - 1), st.integers(0, 3)),
        st.tuples(st.just("place"), st.integers(0, CLIENTS - 1), st.integers(0, 3)),
        st.tuples(st.just("batch"), st.integers(0, CLIENTS - 1), st.integers(1, 30)),
        st.tuples(st.just("cancel"), st.integers(0, CLIENTS - 1), st.integers(0, 99)),
        st.tuples(st.sampled_from(["off", "gone", "off", "deadman", "quiet"]), st.integers(0, 2), st.just(0)),
        st.tuples(st.sampled_from(["hold", "slow", "engine", "kill", "kill"]), st.integers(0, 1), st.just(0)),
        st.tuples(st.sampled_from(["durable", "time", "kill engine"]), st.just(0), st.just(0)),
    ),
    min_size=12,
    max_size=40,
)


@attrs.define
class Person:
    """One client, and what it expects of its orders."""

    client: Client
    guarded: bool = False
    deadman: bool = False
    names: list[str] = attrs.field(factory=list)
    in_guard: set[str] = attrs.field(factory=set)


class Life:
    def __init__(self) -> None:
        self.site = Site(site_settings(orders_unconfirmed_max=100, client_share_percent=100))
        self.people = [Person(self.site.connect()) for _ in range(CLIENTS)]
        self.must_go: set[str] = set()
        self.may_go: set[str] = set()
        self.released: set[str] = set()
        """And that may not be durable yet."""
        self.placed: set[str] = set()
        self.next = 1

    def note(self, person: Person, name: str) -> None:
        person.names.append(name)
        self.placed.add(name)
        if person.guarded or person.deadman:
            person.in_guard.add(name)

    def vanish(self, person: Person) -> None:
        self.must_go |= person.in_guard
        person.in_guard = set()

    def do(self, name: str, who: int, value: int) -> None:
        site, person = self.site, self.people[who]
        if name == "place":
            self.note(person, str(self.next))
            words: tuple[Any, ...] = ("MODE", ("sync", "fire-and-forget")[value % 2])
            words += ("MAXAGE", 60_000) if value > 1 else ()
            person.client.send("ORDER.NEW", self.next, "AAPL", "BUY", 1, "LIMIT", "1.00", *words)
            self.next += 1
        elif name == "batch":
            records = b""
            for number in range(self.next, self.next + value):
                self.note(person, str(number))
                records += RECORD.pack(number, 1, 1, 1, 0, Kind.NEW, 0)
            person.client.send("ORDER.BATCH", f"B{self.next}", records)
            self.next += value
        elif name == "cancel" and person.names:
            order = person.names[value % len(person.names)]
            self.may_go.add(order)
            person.client.send("ORDER.CANCEL", order)
        elif name in ("on", "off"):
            person.guarded = name == "on"
            person.client.send("CLIENT", "CANCELONDISCONNECT", name)
            self.release(person)
        elif name == "deadman":
            person.deadman = not person.deadman
            person.client.send("CLIENT", "DEADMAN", 1000 if person.deadman else 0)
            self.release(person)
        elif name == "gone":
            site.intake.disconnect(person.client.connection)
            self.vanish(person)
            self.people[who] = Person(site.connect(), names=person.names)
        elif name == "quiet":
            self.quiet()
        elif name == "kill":
            for each in self.people:
                self.vanish(each)
            self.may_go |= self.released
            site.start(commit_survived=bool(who))
            self.people = [Person(site.connect(), names=each.names) for each in self.people]
        elif name == "hold":
            site.holds_commits = bool(who)
        elif name == "slow":
            site.is_slow = bool(who)
        elif name == "engine":
            site.engine.up = bool(who)
        elif name == "durable":
            site.end_commit()
        elif name == "kill engine":
            site.engine.start()
        else:
            site.advance(0.2)
        site.pump()
        if site.desk.is_settled:
            self.released = set()
        for each in self.people:
            if each.deadman and each.client.connection.client.is_silent:
                self.vanish(each)

    def release(self, person: Person) -> None:
        """A kill before that is durable cancels them, and one after it does not."""
        if not person.guarded and not person.deadman:
            self.released |= person.in_guard
            person.in_guard = set()

    def quiet(self) -> None:
        self.site.advance(1.5)
        for each in self.people:
            if each.deadman:
                self.vanish(each)

    def check(self) -> None:
        site = self.site
        site.holds_commits, site.is_slow, site.engine.up = False, False, True
        for _ in range(40):
            site.advance(0.25)
            for each in self.people:
                each.client.send("PING")
            if not site.desk.unconfirmed and site.desk.is_settled and site.desk.withdrawals.is_idle:
                break
        assert site.desk.withdrawals.is_idle and not site.desk.unconfirmed
        for each in self.people:
            if each.deadman and each.client.connection.client.is_silent:
                self.vanish(each)
            each.client.replies()
        found = self.statuses()
        stays = {name for name in self.must_go if found.get(name, "CANCELED") not in ("CANCELED", "REJECTED")}
        assert not stays, "of a client that vanished"
        gone = {name for name, status in found.items() if status == "CANCELED"}
        assert gone <= self.must_go | self.may_go, "nobody asked for that"
        participant = site.engine.core._participants[SESSION]
        assert site.desk.table.open == len(participant.orders.live)

    def statuses(self) -> dict[str, str]:
        client, found, after = self.site.connect(), {}, 0
        while page := client.call("ORDER.LIST", "ALL", "AFTER", after, "COUNT", 100):
            for pairs in map(pairs_of, page):
                found[pairs["cl_ord_id"]], after = pairs["status"], int(pairs["order_id"])
        return found


@pytest.mark.parametrize("under_way_max", [3, 10_000])
@settings(max_examples=examples(30))
@given(history=steps)
def test_in_the_end_no_guarded_order_of_a_vanished_client_is_open_and_no_other_was_cancelled(
    under_way_max: int, history: list[tuple[str, int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(withdrawals, "UNDER_WAY_MAX", under_way_max)
        life = Life()
        life.do("on", 0, 0)
        life.do("on", 1, 0)
        for name, who, value in history:
            life.do(name, who, value)
        life.check()
