"""orderctl list, wait and masscancel, with a real daemon."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from orderd.ctl import orders_cli

Orderctl = Callable[..., Result]


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def place(live: Orderctl, cl_ord_id: str, account: int, side: str = "BUY", price: str = "1.00") -> None:
    words = ("submit", cl_ord_id, "MSFT", side, 5, "--limit", price, "--account", account)
    result = live(*words)
    assert result.exit_code == 0, result.output


def test_list_shows_open_orders_and_with_all_those_that_are_done_too(live: Orderctl) -> None:
    for name in ("l1", "l2", "l3"):
        place(live, name, 101)
    live("cancel", "l2")
    assert [order["cl_ord_id"] for order in lines(live("list", "--account", 101, "--json"))] == ["l1", "l3"]
    every = lines(live("list", "--all", "--account", 101, "--json"))
    assert [(order["cl_ord_id"], order["status"]) for order in every] == [
        ("l1", "NEW"),
        ("l2", "CANCELED"),
        ("l3", "NEW"),
    ]
    assert lines(live("list", "--account", 101, "--symbol", "AAPL", "--json")) == []
    rows = [line.split() for line in live("list", "--account", 101).stdout.splitlines()]
    assert rows[0][:3] == ["cl_ord_id", "order_id", "symbol"]
    assert [row[0] for row in rows[1:]] == ["l1", "l3"]


def test_list_goes_through_the_pages_of_the_daemon(live: Orderctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders_cli, "LIST_PAGE", 2)
    names = [f"p{number}" for number in range(5)]
    for name in names:
        place(live, name, 102)
    assert [order["cl_ord_id"] for order in lines(live("list", "--account", 102, "--json"))] == names
    some = live("list", "--account", 102, "--limit", 3)
    assert [line.split()[0] for line in some.stdout.splitlines()[1:]] == names[:3]
    after = lines(live("list", "--account", 102, "--limit", 3, "--json"))[-1]["order_id"]
    assert f"--after {after}" in some.stderr
    assert [order["cl_ord_id"] for order in lines(live("list", "--account", 102, "--after", after, "--json"))] == [
        "p3",
        "p4",
    ]


def test_wait_tells_the_outcome_of_an_order_that_was_only_queued(live: Orderctl) -> None:
    result = live("submit", "w1", "MSFT", "BUY", 5, "--limit", "1.00", "--mode", "fire-and-forget", "--json")
    assert json.loads(result.stdout)["status"] == "QUEUED"
    result = live("wait", "w1", "--timeout", 20, "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "NEW")


def test_wait_for_what_nobody_placed_is_an_error(live: Orderctl) -> None:
    result = live("wait", "nobody")
    assert (result.exit_code, result.stderr) == (1, "orderctl: NOTFOUND nobody is not an order that is remembered\n")


def test_masscancel_cancels_what_fits_all_options_and_counts_it(live: Orderctl) -> None:
    for name, side, price in (("m1", "BUY", "1.00"), ("m2", "BUY", "1.01"), ("m3", "SELL", "900.00")):
        place(live, name, 103, side, price)
    place(live, "m4", 104)
    result = live("masscancel", "--account", 103, "--side", "buy", "--symbol", "MSFT", "--json")
    assert (result.exit_code, json.loads(result.stdout)["cancelled"]) == (0, "2")
    assert [order["cl_ord_id"] for order in lines(live("list", "--account", 103, "--json"))] == ["m3"]
    assert live("masscancel", "--account", 103).exit_code == 0
    assert lines(live("list", "--account", 103, "--json")) == []
    assert [order["cl_ord_id"] for order in lines(live("list", "--account", 104, "--json"))] == ["m4"]
