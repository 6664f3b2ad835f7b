"""orderctl batch, with a real daemon."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orderd.ctl import batch_cli
from orderd.ctl.cli import main
from orderd.wire.records import RECORD, Kind
from tests.support.fake_orderd import FakeOrderd, Refusal

Orderctl = Callable[..., Result]
HEADER = "symbol,side,quantity,price,number,kind,account\n"


def totals(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def orders(live: Orderctl, account: int) -> list[dict[str, str]]:
    return [json.loads(line) for line in live("list", "--all", "--account", account, "--json").stdout.splitlines()]


def test_the_orders_of_a_file_are_placed_once_however_often_it_is_sent(live: Orderctl, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "ES,BUY,10,1.25,,,201\nES,SELL,4,1.25,,,201\nES,BUY,3,1.00,,,201\n")
    results = [live("batch", path, "--json") for _ in range(2)]
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    assert results[0].stdout == results[1].stdout
    found = totals(results[0])
    assert (found["status"], found["orders"], found["accepted"], found["trades"]) == ("DONE", 3, 3, 1)
    assert (found["ok"], found["not_sent"], found["error"]) == (True, 0, None)
    placed = orders(live, 201)
    assert [order["cl_ord_id"] for order in placed] == [str(found["first_number"] + i) for i in range(3)]
    assert [order["cum_qty"] for order in placed] == ["4", "4", "0"]
    assert "accepted" in live("batch", path).stdout


def test_a_file_is_cut_into_batches_that_keep_its_order(
    live: Orderctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cli, "BATCH_RECORDS", 7)
    path = tmp_path / "many.jsonl"
    new = [{"symbol": "ES", "side": "BUY", "quantity": 1, "price": "1.00", "number": 9_000 + i} for i in range(20)]
    path.write_text("".join(f"{json.dumps({**row, 'account': 202})}\n" for row in new))
    found = totals(live("batch", path, "--mode", "batch", "--json"))
    assert (found["batches"], found["sent"], found["orders"], found["accepted"]) == (3, 3, 20, 20)
    assert [order["cl_ord_id"] for order in orders(live, 202)] == [str(9_000 + i) for i in range(20)]
    cancels = "".join(f'{{"symbol": "ES", "number": {9_000 + i}, "kind": "CANCEL"}}\n' for i in range(20))
    found = totals(live("batch", "-", "--format", "jsonl", "--json", stdin=cancels))
    assert (found["file"], found["orders"], found["accepted"]) == ("stdin", 20, 20)
    assert {order["status"] for order in orders(live, 202)} == {"CANCELED"}


def test_records_go_as_they_are(live: Orderctl, tmp_path: Path) -> None:
    path = tmp_path / "r.bin"
    path.write_bytes(b"".join(RECORD.pack(9_100 + i, 4, 1, 3, 203, Kind.NEW, 0) for i in range(3)))
    found = totals(live("batch", path, "--mode", "fire-and-forget", "--json"))
    assert (found["status"], found["orders"]) == ("QUEUED", 3)
    assert live("wait", "9102").exit_code == 0
    assert len(orders(live, 203)) == 3


def test_nothing_of_a_file_with_a_bad_line_is_sent(live: Orderctl, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEADER + "ES,BUY,1,1.25,,,204\nES,BUY,1,1.26,,,204\n")
    result = live("batch", path)
    assert result.exit_code == 2
    assert result.stderr == f'orderctl: {path}: line 3: price "1.26" is not a multiple of 0.25\n'
    assert orders(live, 204) == []
    assert not (tmp_path / "state").exists()


def test_rejected_orders_are_counted_and_end_with_1(live: Orderctl) -> None:
    text = HEADER + "ES,,,,9200,CANCEL,\nES,BUY,1,1.00,9201,,205\n"
    result = live("batch", "-", "--json", stdin=text)
    assert result.exit_code == 1
    assert (totals(result)["rejected"], totals(result)["accepted"], totals(result)["ok"]) == (1, 1, False)


def test_a_number_that_is_known_is_named_by_its_line(live: Orderctl) -> None:
    text = HEADER + "ES,BUY,1,1.00,9300,,206\n"
    assert live("batch", "-", stdin=text).exit_code == 0
    result = live("batch", "-", stdin=HEADER + "ES,BUY,1,1.00,9301,,206\n" + text.splitlines()[1])
    assert result.exit_code == 1
    assert result.stderr.startswith("orderctl: DUPLICATE stdin: line 3: ")
    assert [order["cl_ord_id"] for order in orders(live, 206)] == ["9300"]


def test_the_id_of_the_batches_can_be_chosen(live: Orderctl) -> None:
    text = HEADER + "ES,BUY,1,1.00,,,207\n"
    for name in ("one", "one", "two"):
        assert totals(live("batch", "-", "--id", name, "--json", stdin=text))["id"] == name
    assert len(orders(live, 207)) == 2
    assert live("batch", "-", "--id", "a b", stdin=text).exit_code == 2


def test_what_comes_behind_a_batch_that_was_not_taken_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Filling(FakeOrderd):
        def do_config(self, *_: str) -> object:
            return {"limits.query_bytes_max": "1024"}

        def do_order_batch(self, batch_id: str, records: str, *options: str) -> object:
            if batch_id.endswith("-2"):
                raise Refusal("FULL", "too many orders are unconfirmed")
            return super().do_order_batch(batch_id, records, *options)

    text = "symbol,side,quantity,price,number\n" + "".join(f"AAPL,BUY,1,1.00,{i}\n" for i in range(60))
    with Filling(tmp_path / "s") as fake:
        result = CliRunner().invoke(main, ["--socket", str(fake.path), "batch", "-", "--json"], input=text)
        sent = [words[1] for words in fake.commands if words[0] == "ORDER.BATCH"]
    assert result.exit_code == 1
    found = totals(result)
    assert (found["batches"], found["sent"], found["orders"], found["not_sent"]) == (3, 1, 24, 36)
    assert [name.rpartition("-")[2] for name in sent] == ["1", "2"]
    assert result.stderr.startswith("orderctl: FULL too many orders are unconfirmed\n")


def test_a_batch_whose_outcome_is_not_known_says_why(tmp_path: Path) -> None:
    class Waiting(FakeOrderd):
        def do_config(self, *_: str) -> object:
            return {"limits.query_bytes_max": "1024"}

        def do_order_batch(self, batch_id: str, records: str, *options: str) -> object:
            pairs = super().do_order_batch(batch_id, records, *options)
            return {**pairs, "status": "UNKNOWN", "first_order_id": "0", "reason": "NOT_SENT"}

    with Waiting(tmp_path / "s") as fake:
        text = "symbol,side,quantity,price,number\nAAPL,BUY,1,1.00,7\n"
        result = CliRunner().invoke(main, ["--socket", str(fake.path), "batch", "-", "--json"], input=text)
    found = totals(result)
    assert (result.exit_code, found["status"], found["reason"]) == (1, "UNKNOWN", "NOT_SENT")


def test_a_file_that_is_not_there_or_of_no_known_format_is_wrong_usage(live: Orderctl, tmp_path: Path) -> None:
    assert live("batch", tmp_path / "none.csv").exit_code == 2
    (tmp_path / "orders").touch()
    result = live("batch", tmp_path / "orders")
    assert result.exit_code == 2
    assert "--format" in result.stderr
