"""Each example does what it says, as a program of its own against a real daemon."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import pytest

from orderd.client import Client, ExecType, Side
from tests.support.needs import missing
from tests.support.processes import ROOT, STEADY, Site, running_site, wait_until

EXAMPLES: Final = ROOT / "examples"
LIMIT_S: Final = 60.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("examples"), orderd=STEADY) as running:
        running.wait_connected()
        yield running


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.socket_path) as client:
        yield client
        client.mass_cancel()


def started(name: str, *words: object) -> "subprocess.Popen[str]":
    """An example as a program."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def ended(process: "subprocess.Popen[str]") -> str:
    """What it wrote. Fails if it did not end well, or not in time."""
    try:
        text, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        pytest.fail(f"not ended within {LIMIT_S} s:\n{text}")
    assert process.returncode == 0, text
    return text


def test_the_market_maker_quotes_trades_and_leaves_nothing(site: Site, client: Client) -> None:
    maker = started("market_maker.py", "--socket", site.socket_path, "--symbol", "AAPL", "--mid", "187.00")

    def best() -> tuple[Decimal, Decimal] | None:
        book = client.book("AAPL")
        return (book.bids[0].price, book.asks[0].price) if book.bids and book.asks else None

    try:
        wait_until(lambda: best() == (Decimal("186.95"), Decimal("187.05")), "both quotes are there")
        bought = client.market("AAPL", "BUY", 10)
        assert bought.avg_px == Decimal("187.05")
        # Short ten: both quotes go up by a tick.
        wait_until(lambda: best() == (Decimal("186.96"), Decimal("187.06")), "the quotes follow the position")
    finally:
        maker.send_signal(signal.SIGINT)
        text = ended(maker)
    assert "SELL 10 at 187.05, position -10" in text
    wait_until(lambda: not client.list_open(), "its quotes went with it")


def test_the_market_makers_quotes_go_when_it_is_killed(site: Site, client: Client) -> None:
    maker = started("market_maker.py", "--socket", site.socket_path, "--symbol", "MSFT", "--mid", "50")
    try:
        wait_until(lambda: len(client.list_open(symbol="MSFT")) == 2, "both quotes are there")
    finally:
        maker.kill()
        maker.communicate()
    wait_until(lambda: not client.list_open(symbol="MSFT"), "its quotes went with it")


def test_twap_goes_on_where_it_was_stopped_and_places_no_slice_twice(site: Site, client: Client) -> None:
    client.limit("ES", "SELL", 1000, "4500.25", tif="GTC")
    words = ["BUY", 100, "ES", "--socket", site.socket_path, "--id", "twap-test", "--limit", "4500.50", "--slices", 5]
    with client.executions() as executions:
        first = started("twap.py", *words, "--every", 60)
        try:
            assert first.stdout is not None
            assert "twap-test.0: FILLED 20 of 20 at 4500.25" in first.stdout.readline()
        finally:
            first.kill()
            first.communicate()
        text = ended(started("twap.py", *words, "--every", "0.01"))
        assert "filled 100 of 100" in text and "twap-test.0" not in text
        assert "filled 100 of 100" in ended(started("twap.py", *words))  # All is known already.
        found = executions.read(timeout_s=LIMIT_S)
    slices = [one for one in found if one.cl_ord_id.startswith("twap-test") and one.exec_type == "TRADE"]
    assert [(one.cl_ord_id, one.last_qty) for one in slices] == [(f"twap-test.{i}", Decimal(20)) for i in range(5)]


def test_the_ladder_of_arrays_stands_in_the_book(site: Site, client: Client) -> None:
    text = ended(started("batch_numpy.py", "--socket", site.socket_path, "--mid", "100.00", "--levels", 40))
    assert "placed 80 of 80, 0 trades" in text and "changed 80 of 80" in text
    orders = client.list_open(symbol="AAPL")
    assert len(orders) == 40 and {order.quantity for order in orders} == {Decimal(10)}
    assert sum(order.side is Side.BUY for order in orders) == 20
    book = client.book("AAPL", depth=100)
    assert (book.bids[0].price, book.asks[0].price) == (Decimal("99.98"), Decimal("100.02"))
    assert (book.bids[-1].price, book.asks[-1].price) == (Decimal("99.79"), Decimal("100.21"))


@pytest.mark.parametrize("name", ["redis_py_sync.py", "redis_py_asyncio.py"])
def test_redis_py_places_and_hears(site: Site, client: Client, name: str) -> None:
    with client.executions() as executions:
        text = ended(started(name, "--socket", site.socket_path, "--symbol", "AAPL", "--price", "10.00"))
        found = executions.read(timeout_s=LIMIT_S)
    types = [one.exec_type for one in found]
    if name == "redis_py_sync.py":
        assert types == ["NEW", "REPLACED", "CANCELED"]
        assert re.search(r"refused: BADORDER .*price", text) and "now CANCELED" in text and "execution" in text
    else:
        assert "all are done" in text
        assert (types.count(ExecType.NEW), types.count(ExecType.CANCELED)) == (50, 50)


def test_redis_cli_places_and_cancels(site: Site, client: Client) -> None:
    if shutil.which("redis-cli") is None:
        missing("redis-cli is not installed")
    with client.executions() as executions:
        process = subprocess.run(
            [str(EXAMPLES / "redis_cli.sh"), str(site.socket_path)],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        found = executions.read(timeout_s=LIMIT_S)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "what is left open: 0 of it" in process.stdout and "refused, as it should be" in process.stdout
    assert [one.exec_type for one in found] == ["NEW", "REPLACED", "CANCELED"]
