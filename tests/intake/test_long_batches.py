"""A batch that takes long to be checked is checked in steps, and is one piece all the same."""

from collections.abc import Iterator

import attrs
import pytest

from orderd.intake.turns import Turn
from orderd.orders.risk.settings import RiskReference, RiskSettings
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, encode, pairs_of, site_settings

MANY = 1000
LIMITS = RiskSettings(
    position_max="5000", orders_per_second=10_000, orders_burst=10_000, reference=(RiskReference("AAPL", "1.00"),)
)


@pytest.fixture
def site() -> Site:
    return Site(site_settings(other={"risk": LIMITS}, client_share_percent=100))


@pytest.fixture
def client(site: Site) -> Client:
    client = site.connect()
    client.pairs("ORDER.BATCH", "A", batch(Kind.NEW, 1))
    return client


def batch(kind: Kind, quantity: int, last: int | None = None) -> bytes:
    quantities = [quantity] * (MANY - 1) + [quantity if last is None else last]
    return b"".join(RECORD.pack(1 + i, 100, lots, 1, 0, kind, 0) for i, lots in enumerate(quantities))


def steps_of(client: Client, *words: bytes | str | int) -> Iterator[Turn]:
    return client.site.intake.feed_in_steps(client.connection, encode(words), client.site.now, client.site.now_ns)


def begin(steps: Iterator[Turn]) -> None:
    while next(steps) is not Turn.PIECE:
        pass


def open_buy(site: Site) -> int:
    site.desk.positions.settle()
    return site.desk.positions.position(0, 1).open[0]


def test_it_has_turns_in_which_others_read_and_their_orders_wait(site: Site, client: Client) -> None:
    other = site.connect()
    steps = steps_of(client, "ORDER.BATCH", "B", batch(Kind.REPLACE, 5))
    begin(steps)
    end = site.desk.table.end
    assert other.call("PING") == b"PONG"
    turns = steps_of(other, "ORDER.NEW", "x", "AAPL", "BUY", 1, "LIMIT", "1.00")
    assert next(turns) is Turn.LINE
    assert len([turn for turn in steps if turn is Turn.PIECE]) >= MANY // 64
    assert site.desk.table.end == end + MANY
    assert list(turns) == []
    site.pump()
    assert open_buy(site) == 5 * MANY
    assert str(other.replies()[0]).startswith("LIMIT position_max 5001 exceeds 5000")


def test_what_accounts_hold_is_told_without_what_is_on_trial(site: Site, client: Client) -> None:
    reader = site.connect()
    steps = steps_of(client, "ORDER.BATCH", "B", batch(Kind.REPLACE, 5, last=6))
    begin(steps)
    next(steps)
    told = steps_of(reader, "POSITIONS")
    next(told)
    for _ in steps:
        next(told)
    assert str(client.replies()[0]).startswith(f"LIMIT record {MANY - 1}: position_max 5001 exceeds 5000")
    for _ in told:
        pass
    site.pump()
    assert pairs_of(reader.replies()[0][0])["open_buy"] == str(MANY)


def test_limits_that_come_meanwhile_count(site: Site, client: Client) -> None:
    steps = steps_of(client, "ORDER.BATCH", "B", batch(Kind.REPLACE, 5))
    begin(steps)
    site.file = attrs.evolve(site.settings, risk=attrs.evolve(LIMITS, position_max="4000"))
    admin = site.connect()
    admin.send("CONFIG", "RELOAD")
    site.owner.reload_if_asked()
    for _ in steps:
        pass
    assert str(client.replies()[0]).startswith("LIMIT record 750: position_max 4004 exceeds 4000")
    assert open_buy(site) == MANY and not site.desk.positions.on_trial
    assert site.intake.turns.is_free


def test_halted_meanwhile_it_is_refused(site: Site, client: Client) -> None:
    steps = steps_of(client, "ORDER.BATCH", "B", batch(Kind.REPLACE, 2))
    begin(steps)
    site.connect().send("TRADING", "HALTED")
    for _ in steps:
        pass
    assert str(client.replies()[0]) == "HALTED record 0: trading is halted"
    assert site.desk.table.end == MANY + 1


def test_its_sender_leaves_and_it_is_taken_in_whole(site: Site, client: Client) -> None:
    steps = steps_of(client, "ORDER.BATCH", "B", batch(Kind.REPLACE, 2))
    begin(steps)
    steps.close()  # type: ignore[attr-defined]
    site.intake.disconnect(client.connection)
    site.pump()
    assert (site.desk.table.end, open_buy(site)) == (2 * MANY + 1, 2 * MANY)


def test_a_long_batch_that_does_not_fit_is_found_out_in_steps_too(site: Site) -> None:
    client = site.connect()
    records = b"".join(RECORD.pack(1 + i, 100, 1, 1, 0, Kind.NEW, 0) for i in range(6000))
    turns = list(steps_of(client, "ORDER.BATCH", "A", records))
    assert turns.count(Turn.PIECE) > 5
    assert str(client.replies()[0]).startswith("LIMIT record 5000: position_max 5001 exceeds 5000")
    assert open_buy(site) == 0
