"""Reading order flow: what each row becomes, and what is refused."""

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from orderd.ctl.errors import InputError
from orderd.ctl.replay.source import Action, Do, Flow, PriceText, read_commands, read_expected_trades, read_lobster


def text(tick: str = "0.01", lot: str = "1", scale: str = "0.0001") -> PriceText:
    return PriceText(Decimal(tick), Decimal(lot), Decimal(scale))


def lobster(path: Path, *rows: str) -> Flow:
    path.write_text("".join(row + "\n" for row in rows))
    return read_lobster(path, text())


def brief(action: Action) -> tuple[str, ...]:
    return (action.do.name, action.key, action.side, action.price, action.quantity)


def test_lobster_rows_become_orders(tmp_path: Path) -> None:
    flow = lobster(
        tmp_path / "m.csv",
        "34200.5,1,7,100,2238100,1",
        "34200.6,1,8,50,2239500,-1",
        "34200.7,2,7,40,2238100,1",
        "34200.8,4,7,10,2238100,1",
        "34200.81,2,7,5,2238100,1",
        "34200.9,4,8,50,2239500,-1",
        "34201.0,3,7,45,2238100,1",
    )
    assert [brief(action) for action in flow.actions] == [
        ("NEW", "7", "BUY", "223.81", "100"),
        ("NEW", "8", "SELL", "223.95", "50"),
        ("REPLACE_OPEN", "7", "BUY", "223.81", "60"),
        ("TAKE", "", "SELL", "223.81", "10"),
        ("REPLACE_OPEN", "7", "BUY", "223.81", "45"),
        ("TAKE", "", "BUY", "223.95", "50"),
        ("CANCEL", "7", "", "", ""),
    ]
    assert flow.actions[1].time_ns - flow.actions[0].time_ns == 100_000_000


def test_lobster_rows_that_say_nothing_are_counted(tmp_path: Path) -> None:
    flow = lobster(
        tmp_path / "m.csv",
        "34200.017459617,5,0,1,2238200,-1",
        "34200.1,6,-1,1,2238200,-1",
        "34200.1,7,0,0,-1,-1",
        "34200.1,5,0,1,2238200,-1",
        "34200.2,3,99,10,2238100,1",
        "34200.2,4,99,10,2238100,1",
    )
    assert flow.actions == []
    assert flow.skipped_types == {"5": 2, "6": 1, "7": 1}
    assert flow.skipped_unseen == 2


def test_taking_all_of_an_order_off_is_a_cancel(tmp_path: Path) -> None:
    flow = lobster(tmp_path / "m.csv", "1,1,7,100,10000,1", "2,2,7,100,10000,1", "3,3,7,100,10000,1")
    assert [action.do for action in flow.actions] == [Do.NEW, Do.CANCEL]
    assert flow.skipped_unseen == 1


def test_command_rows_become_orders(tmp_path: Path) -> None:
    path = tmp_path / "x.commands.tsv.gz"
    rows = [
        "# a comment",
        "L B -1 9990 100",
        "A S 5 9980 150 1",
        "R 5 20",
        "M -1 9991 30",
        "T B 9980 10 0",
        "X 5",
        "B S: B:9991x30,9990x2",
    ]
    path.write_bytes(gzip.compress("".join(row.replace(" ", "\t") + "\n" for row in rows).encode()))
    flow = read_commands(path, text(scale="0.01"))
    assert [brief(action) for action in flow.actions] == [
        ("NEW", "-1", "BUY", "99.90", "100"),
        ("NEW", "5", "SELL", "99.80", "150"),
        ("REDUCE", "5", "", "", "20"),
        ("REPLACE_OPEN", "-1", "", "99.91", "30"),
        ("TAKE", "", "BUY", "99.80", "10"),
        ("CANCEL", "5", "", "", ""),
        ("CHECK", "", "", "", ""),
    ]
    assert [action.is_taker for action in flow.actions] == [False, True, False, False, True, False, False]
    assert (flow.actions[-1].bids, flow.actions[-1].asks) == ([("99.91", "30"), ("99.90", "2")], [])


def test_prices_and_quantities_are_never_rounded(tmp_path: Path) -> None:
    assert text("0.25", "1", "0.01").price("480025", 1) == "4800.25"
    with pytest.raises(InputError, match=r"line 9: price 4800\.1 is not a multiple of 0\.25"):
        text("0.25", "1", "0.01").price("480010", 9)
    with pytest.raises(InputError, match="line 3: quantity 150 is not a multiple of 100"):
        text(lot="100").quantity(150, 3)
    with pytest.raises(InputError, match="not a whole number"):
        text().price("-5", 1)


@pytest.mark.parametrize("row", ["hello", "1,1,7,100,10000", "1,9,7,100,10000,1", "1,1,7,x,10000,1", "x,1,7,1,10000,1"])
def test_what_is_no_lobster_row_is_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputError, match="line 1"):
        lobster(tmp_path / "m.csv", row)


@pytest.mark.parametrize("row", ["Q\t1", "L\tB\t1\t100", "L\tQ\t1\t100\t5", "R\t1\tx", "B\tB:1x1\tS:1x1", "X"])
def test_what_is_no_command_row_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "c.tsv"
    path.write_text(row + "\n")
    with pytest.raises(InputError, match="line 1"):
        read_commands(path, text(scale="0.01"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_lobster(tmp_path / "none", text())
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"1,1,7,100,10000,1\n" * 1000)[:40])
    with pytest.raises(InputError):
        read_lobster(cut, text())


def test_expected_trades_are_told_by_taker_and_maker(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("taker_seq,maker_id,price,size\n1,-7,9990,21\n")
    assert read_expected_trades(path, text(scale="0.01")) == [(1, "-7", "99.90", "21")]
