"""A place in the stream of executions: no gap and no repeat passes unseen."""

from decimal import Decimal

import pytest

from orderd.client.errors import ProtocolViolation, Trimmed
from orderd.client.replies import Execution
from orderd.client.stream import Place, last_id
from orderd.client.values import ExecType, Side, Status


def execution(exec_id: int) -> Execution:
    zero = Decimal(0)
    return Execution(
        exec_id, ExecType.NEW, "a", 1, "AAPL", Side.BUY, 0, zero, zero, zero, zero, Status.NEW, transact_time_ns=1
    )


def page(*ids: int) -> list[Execution]:
    return [execution(exec_id) for exec_id in ids]


def test_it_asks_for_what_follows_what_was_told() -> None:
    place = Place(0)
    (first, second) = place.check(page(17, 18))
    assert b"EXEC.READ\r\n$1\r\n0\r\n" in place.ask(None).data
    place.told(first)
    assert b"EXEC.READ\r\n$2\r\n17\r\n" in place.ask(1000).data
    assert place.told(second).exec_id == place.exec_id == 18


@pytest.mark.parametrize("ids", [(6,), (5, 6), (4,), (7,), (6, 8), (6, 6)])
def test_a_gap_or_a_repeat_is_an_error(ids: tuple[int, ...]) -> None:
    place = Place(5)
    if ids == (6,):
        assert place.check(page(*ids))
        return
    with pytest.raises(ProtocolViolation, match="does not follow"):
        place.check(page(*ids))


def test_those_of_one_account_have_others_between_them() -> None:
    place = Place(5, account=3)
    assert len(place.check(page(9, 12))) == 2
    assert b"ACCOUNT\r\n$1\r\n3" in place.ask(None).data
    with pytest.raises(ProtocolViolation):
        place.check(page(9, 9))


def test_the_newest_id_comes_from_info() -> None:
    assert last_id({"executions_last_id": "31"}) == 31
    with pytest.raises(ProtocolViolation):
        last_id({})


def test_where_an_account_has_nothing_for_long_the_place_moves_on() -> None:
    place = Place(5, account=3)
    place.take_info({"executions_last_id": "5"}, 1)
    assert not place.asks_info(1)
    place.check([])
    assert place.asks_info(1) and place.exec_id == 5
    place.check([], newest=40)
    assert place.exec_id == 40
    place.check(page(44), newest=50)
    assert place.exec_id == 40 and not place.asks_info(1)


def test_on_each_connection_a_place_must_be_one_that_the_daemon_reached() -> None:
    assert not Place(0).asks_info(0)
    place = Place(5)
    assert place.asks_info(0)
    assert place.take_info({"executions_last_id": "9"}, 1) == 9
    assert not place.asks_info(1)
    assert place.asks_info(2)
    with pytest.raises(Trimmed, match="execution 5 is behind the last one, 4") as caught:
        place.take_info({"executions_first_id": "2", "executions_last_id": "4"}, 2)
    assert caught.value.first_id == 2
    assert place.asks_info(2)
