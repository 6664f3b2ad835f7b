"""Redis' own clients work unchanged: redis-cli, redis-benchmark and redis-py, in both protocols."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import redis

from orderd.intake import intake
from orderd.intake.command_table import TABLE
from tests.support.processes import Site, wait_until

assert intake.COMMAND_MODULES, "they fill the table"

PRICE: Final = "187.25"
EVERY_COMMAND: Final = (
    "PING",
    "PING hello",
    "ECHO hello",
    "SELECT 0",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT SETNAME desk-7",
    "CLIENT GETNAME",
    "CLIENT SETINFO LIB-NAME mine",
    "COMMAND",
    "COMMAND COUNT",
    "COMMAND DOCS PING",
    "COMMAND INFO PING",
    "INFO",
    "INFO orders",
    "MODE",
    "MODE batch",
    "CONFIG RELOAD",
    "CONFIG GET batch.*",
    "CLIENT CANCELONDISCONNECT ON",
    "CLIENT DEADMAN 60000",
    "INSTRUMENTS",
    "ORDER.NEW {0}a AAPL BUY 100 LIMIT 187.25 TIF GTC ACCOUNT 7 MODE batch",
    "order.new {0}b AAPL sell 40 market tif ioc",
    "ORDER.STATUS {0}a",
    "ORDER.WAIT {0}a 1000",
    "ORDER.REPLACE {0}a 90 187.30 ID {0}r",
    "ORDER.LIST",
    "ORDER.LIST ALL SYMBOL AAPL ACCOUNT 7 AFTER 0 COUNT 5",
    "ORDER.RESERVE 10",
    "EXEC.READ 0",
    "EXEC.READ 0 COUNT 1 BLOCK 10",
    "EXEC.READ 0 ACCOUNT 7",
    "EXEC.UNSUBSCRIBE",
    "ORDER.LIST OPEN POSITION",
    "BOOK AAPL DEPTH 5",
    "MULTI",
    "ORDER.CANCEL {0}a ID {0}c",
    "ORDER.MASSCANCEL SYMBOL AAPL SIDE SELL ACCOUNT 65535",
    "TRADING",
    "TRADING ACTIVE",
    "TRADING ACTIVE ACCOUNT 7",
    "POSITIONS",
    "POSITIONS ACCOUNT 65535 SYMBOL AAPL COUNT 1",
    "ORDER.STATUS {0}a",
    "EXEC",
    "MULTI",
    "DISCARD",
    "RESET",
)


@pytest.fixture(scope="module", autouse=True)
def redis_tools() -> None:
    """They are a part of what is promised, so they must be there."""
    for tool in ("redis-cli", "redis-benchmark"):
        assert shutil.which(tool), f"{tool} is needed: install redis-tools"


def redis_cli(site: Site, *words: str, stdin: str | None = None) -> str:
    result = subprocess.run(
        ["redis-cli", "-s", str(site.socket_path), *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        input=stdin,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_command_is_tried() -> None:
    tried = {" ".join(command.upper().split()[:count]) for command in EVERY_COMMAND for count in (1, 2)}
    elsewhere = {"EXEC.SUBSCRIBE", "HELLO", "QUIT", "ORDER.BATCH", "CLIENT KILL"}
    assert {command.name for command in TABLE} - tried == elsewhere


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli_gets_an_answer_to_every_command(shared: Site, protocol: str) -> None:
    commands = [command.format(f"cli{protocol}-") for command in EVERY_COMMAND]
    text = redis_cli(shared, protocol, stdin="".join(f"{command}\nECHO ---\n" for command in commands))
    assert text.count("---\n") == len(commands) - 1, "each is answered, but for the one that DISCARD forgets"
    refused = re.compile(r"^(ERR|BADORDER|DUPLICATE|NOTFOUND|LIMIT|FULL|UNAVAILABLE)\b", re.MULTILINE)
    found = [line for line in text.splitlines() if refused.match(line)]
    assert not found, found
    assert f"cli{protocol}-a" in text and "CANCELED" in text and "FILLED" in text


def test_redis_cli_shows_pairs_as_a_map_in_resp3_and_flat_in_resp2(shared: Site) -> None:
    words = ("ORDER.NEW", "map1", "AAPL", "BUY", "100", "LIMIT", PRICE)
    order = json.loads(redis_cli(shared, "-3", "--json", *words))
    assert (order["cl_ord_id"], order["status"], order["quantity"]) == ("map1", "NEW", "100")
    flat = redis_cli(shared, "-2", *words).splitlines()
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == order
    assert redis_cli(shared, "-2", "ORDER.CANCEL", "map1").splitlines()[9] == "CANCELED"


def test_redis_cli_shows_errors_as_errors(shared: Site) -> None:
    assert redis_cli(shared, "ORDER.STATUS", "never").startswith("NOTFOUND ")
    assert redis_cli(shared, "NONSENSE").startswith("ERR unknown command")


@pytest.fixture(params=[2, 3])
def py(shared: Site, request: pytest.FixtureRequest) -> Iterator["redis.Redis"]:
    with redis.Redis(
        unix_socket_path=str(shared.socket_path), protocol=request.param, decode_responses=True
    ) as connection:
        yield connection


def run(connection: Any, *words: object) -> Any:
    """A command that the library does not know."""
    return connection.execute_command(*words)


def pairs(value: Any) -> dict[str, str]:
    """An order's pairs as either protocol has them."""
    return value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=True))


def test_redis_py_places_asks_and_cancels(py: "redis.Redis", new_id: Callable[[], str]) -> None:
    name = new_id()
    order = pairs(run(py, "ORDER.NEW", name, "AAPL", "BUY", 100, "LIMIT", PRICE))
    assert (order["cl_ord_id"], order["status"], order["leaves_qty"]) == (name, "NEW", "100")
    assert pairs(run(py, "ORDER.STATUS", name)) == order
    assert pairs(run(py, "ORDER.CANCEL", name))["status"] == "CANCELED"
    with pytest.raises(redis.ResponseError, match="^NOTFOUND "):
        run(py, "ORDER.CANCEL", "never")
    exec_id, execution = run(py, "EXEC.READ", 0, "COUNT", 1)[0]
    assert exec_id == "1" and pairs(execution)["exec_type"] == "NEW"
    assert py.ping() and py.info()["transport_state"] == "UDP_ENABLED"
    assert py.config_get("journal.durability") == {"journal.durability": "commit"}


def test_redis_py_takes_pushes_and_replies_over_one_connection(shared: Site, new_id: Callable[[], str]) -> None:
    name = new_id()
    make: Any = redis.connection.UnixDomainSocketConnection
    connection = make(path=str(shared.socket_path), protocol=3)
    connection.connect()
    connection.send_command("EXEC.SUBSCRIBE", "$")
    assert connection.read_response() == b"OK"
    connection.send_command("ORDER.NEW", name, "AAPL", "BUY", 100, "LIMIT", PRICE)
    connection.send_command("ORDER.CANCEL", name)
    pushed: list[Any] = []
    replies: list[Any] = []
    while len(pushed) < 2 or len(replies) < 2:
        found = connection.read_response(push_request=True)
        (pushed if isinstance(found, list) else replies).append(found)
    assert [(kind, execution[b"exec_type"]) for kind, _, execution in pushed] == [
        (b"exec", b"NEW"),
        (b"exec", b"CANCELED"),
    ]
    assert [reply[b"cl_ord_id"].decode() for reply in replies] == [name, name]
    connection.disconnect()


def test_redis_py_decodes_or_leaves_bytes_as_it_is_told(shared: Site, new_id: Callable[[], str]) -> None:
    with redis.Redis(unix_socket_path=str(shared.socket_path), protocol=3) as connection:
        order = run(connection, "ORDER.NEW", new_id(), "AAPL", "BUY", 1, "MARKET")
        assert order[b"status"] == b"CANCELED"


@pytest.mark.parametrize("transaction", [True, False])
def test_redis_py_pipelines_give_each_command_its_reply(
    py: "redis.Redis", transaction: bool, new_id: Callable[[], str]
) -> None:
    names = [new_id() for _ in range(50)]
    with py.pipeline(transaction=transaction) as pipe:
        for name in names:
            run(pipe, "ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", PRICE)
        for name in names:
            run(pipe, "ORDER.CANCEL", name)
        run(pipe, "ORDER.STATUS", "never")
        replies = pipe.execute(raise_on_error=False)
    orders = [pairs(reply) for reply in replies[:100]]
    assert [order["cl_ord_id"] for order in orders] == names * 2
    assert {order["status"] for order in orders[50:]} == {"CANCELED"}
    ids = [int(order["order_id"]) for order in orders[:50]]
    assert ids == list(range(ids[0], ids[0] + 50))
    assert isinstance(replies[100], redis.ResponseError)


def test_redis_benchmark_places_orders(make_site: Callable[..., Site]) -> None:
    site = make_site().start()
    command = "-r 300000000 -n 30000 -c 50 -P 16 ORDER.NEW r__rand_int__ AAPL BUY 1 LIMIT 1.00"
    result = subprocess.run(
        ["redis-benchmark", "-s", str(site.socket_path), *command.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "30000 requests completed" in result.stdout, result.stdout
    with site.client() as client:
        # A number that comes up twice is the same order again.
        wait_until(lambda: client.info()["orders_unconfirmed"] == "0", "all are confirmed")
        info = client.info()
        assert 29_900 <= int(info["orders_received_total"]) <= 30_000
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", info["orders_open"], info["orders_open"]]]
