"""orderctl journal: real journals of both daemons, whole, torn and damaged, and while orders are flowing."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from orderd.ctl.cli import main
from orderd.journal.reading import read_segments
from orderd.journal.segment import decode_segment_header, encode_segment_header
from orderd.orders.entries import EntryKind, Orders, Reserve
from orderd.wire.records import RECORD
from tests.support.journals import files_of
from tests.support.load import Load, wait_for_progress
from tests.support.processes import Site, instruments_text, running_site, wait_until

BYTES_OF_KEY = bytes(range(100, 132))


def journal(*words: object) -> Result:
    return CliRunner().invoke(main, ["journal", *map(str, words)])


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Daemons with small segments and a key, that have seen a few orders."""
    directory = tmp_path_factory.mktemp("journals")
    key_file = directory / "key"
    key_file.write_text(BYTES_OF_KEY.hex())
    key_file.chmod(0o600)
    small = {"journal.segment_bytes": 262_144}
    orderd = {**small, "limits.query_bytes_max": 65_536, "engine.key_file": str(key_file)}
    with running_site(directory, orderd=orderd, engine={**small, "key_file": str(key_file)}) as site:
        with site.client() as client:
            client.call("ORDER.NEW", "first", "MSFT", "BUY", 5, "LIMIT", "1.25", "TIF", "GTC", "MAXAGE", 60_000)
            client.call("ORDER.CANCEL", "first")
            client.call("ORDER.MASSCANCEL", "ACCOUNT", 7)
            client.call("TRADING", "HALTED")
            client.call("TRADING", "ACTIVE")
            client.call("TRADING", "HALTED", "ACCOUNT", 9)
            client.call("TRADING", "ACTIVE", "ACCOUNT", 9)
            client.call("ORDER.RESERVE", 10)
            client.call("CLIENT", "CANCELONDISCONNECT", "ON")
            client.call("ORDER.NEW", "guarded", "MSFT", "BUY", 5, "LIMIT", "1.00")
        load = Load(site.socket_path, 1)
        load.start()
        wait_until(lambda: len(list((directory / "oj").glob("*.segment"))) > 2 or load.problems, "segments fill")
        load.finish()
        site.wait_confirmed()
        yield site


@pytest.fixture
def copy(busy: Site, tmp_path: Path) -> Path:
    """orderd's journal, for a test to damage."""
    target = tmp_path / "copy"
    target.mkdir()
    for path in (busy.directory / "oj").glob("*.segment"):
        shutil.copy(path, target)
    return target


def change(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_list_has_segments_with_their_records_commits_and_orders(busy: Site) -> None:
    found = lines(journal("list", "--directory", busy.directory / "oj", "--json"))
    with busy.client() as client:
        info = client.info()
    assert [row["segment"] for row in found] == [f"{i:012}.segment" for i in range(1, len(found) + 1)]
    assert found[0]["first_commit"] == 1 and found[0]["first_order"] == 1
    assert max(row["last_order"] or 0 for row in found) == int(info["orders_last_id"])
    for one, two in pairwise(found):
        assert two["first_order"] in (None, one["last_order"] + 1)
        assert two["first_commit"] - one["last_commit"] in (0, 1)
    assert {(row["application"], row["durability"], row["of_bytes"], row["state"]) for row in found} == {
        ("orderd", "commit", 262_144, "good")
    }
    table = journal("list", "--directory", busy.directory / "ej").stdout.splitlines()
    assert table[0] == f"{busy.directory / 'ej'}: engine"
    assert table[1].split()[:3] == ["segment", "records", "commits"]
    assert table[2].split()[0] == "000000000001.segment"


def test_whole_journals_of_both_daemons_are_good(busy: Site) -> None:
    with busy.client() as client:
        info = client.info()
    result = journal("verify", "--directory", busy.directory / "oj", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"], found["problems"], found["notes"]) == (0, True, 0, [])
    assert (found["application"], found["orders"]) == ("orderd", int(info["orders_last_id"]))
    result = journal("verify", "--directory", busy.directory / "ej")
    assert result.exit_code == 0
    assert ": engine: " in result.stdout and result.stdout.endswith(" records: good\n")


def test_the_directory_may_be_named_by_a_settings_file(busy: Site, tmp_path: Path) -> None:
    config = tmp_path / "orderd.toml"
    config.write_text(f'[journal]\ndirectory = "{busy.directory / "oj"}"\n{instruments_text()}')
    assert str(busy.directory / "oj") in journal("verify", "--config", config).stdout
    assert journal("verify", "--config", config, "--directory", tmp_path).exit_code == 2
    config.write_text("[journal]\ndirectory = 7\n")
    result = journal("list", "--config", config)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_verifying_under_load_finds_no_damage_and_everything_that_was_answered(busy: Site) -> None:
    load = Load(busy.socket_path, 2)
    load.start()
    try:
        for _ in range(6):
            wait_for_progress([load], wait_until, 100)
            with busy.client() as client:
                durable = int(client.info()["orders_last_id"])
            for directory in ("oj", "ej"):
                result = journal("verify", "--directory", busy.directory / directory, "--json")
                assert (result.exit_code, result.stderr) == (0, "")
                if directory == "oj":
                    # What INFO counts may be in the commit that is under way; the load's window bounds that.
                    assert json.loads(result.stdout)["orders"] >= durable - 2000
    finally:
        load.finish()
        busy.wait_confirmed()


def test_a_torn_tail_is_told_and_is_no_damage(copy: Path) -> None:
    last = max(copy.glob("*.segment"))
    *_, segment = read_segments(str(copy))
    *_, record = segment.records()
    change(last, record.offset + 24, bytes(segment.end - record.offset - 24))
    result = journal("verify", "--directory", copy)
    assert result.exit_code == 0
    note = "24 bytes at the end are a torn tail, which the next start cuts off\n"
    assert f"{last.name}: {note}" in result.stdout
    assert f"{last.name}: {note}" in journal("list", "--directory", copy).stdout
    assert lines(journal("list", "--directory", copy, "--json"))[-1]["state"] == "torn"
    result = journal("dump", "--directory", copy)
    assert result.exit_code == 0
    assert result.stderr == f"orderctl: {last}: {note}"


def test_a_flipped_bit_is_damage_with_its_place_and_exit_code_3(copy: Path) -> None:
    second = sorted(copy.glob("*.segment"))[1]
    record = list(list(read_segments(str(copy)))[1].records())[2]
    change(second, record.offset + 24, bytes([second.read_bytes()[record.offset + 24] ^ 1]))
    result = journal("verify", "--directory", copy, "--json")
    assert result.exit_code == 3
    assert f"orderctl: {second}: damaged at offset {record.offset}: " in result.stderr
    assert json.loads(result.stdout)["ok"] is False
    assert json.loads(result.stdout)["problems"] == 1
    listed = lines(journal("list", "--directory", copy, "--json"))
    assert [row["state"] for row in listed[:3]] == ["good", "damaged", "good"]
    assert [problem["offset"] for problem in listed[1]["problems"]] == [record.offset]
    result = journal("dump", "--directory", copy)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1].startswith("2:")


def test_a_missing_segment_is_damage(copy: Path) -> None:
    (copy / "000000000002.segment").unlink()
    result = journal("verify", "--directory", copy)
    assert result.exit_code == 3
    assert "000000000002.segment: damaged at offset 0: the segment is missing" in result.stderr


def test_entries_that_do_not_follow_on_each_other_are_damage(tmp_path: Path) -> None:
    gap = [[(4, _orders(1))], [(4, _orders(3))], [Reserve(9).encode()], [(99, b"?")]]
    for name, data in files_of(gap).items():
        (tmp_path / Path(name).name).write_bytes(data)
    _rename_application(tmp_path)
    result = journal("verify", "--directory", tmp_path)
    assert result.exit_code == 3
    assert "order 3 follows 1" in result.stderr
    assert "unknown kind 99" in result.stderr


def test_dump_tells_each_record_with_its_kind_and_what_it_says(busy: Site) -> None:
    directory = busy.directory / "oj"
    found = lines(journal("dump", "--directory", directory, "--json"))
    assert {row["kind"] for row in found} == {kind.name for kind in EntryKind}
    orders = [order for row in found for order in row.get("orders", [])]
    assert [order["order_id"] for order in orders] == list(range(1, len(orders) + 1))
    first = {"order_id": 1, "kind": "NEW", "cl_ord_id": "first", "instrument": "MSFT", "side": "BUY"}
    first |= {"tif": "GTC", "quantity": "5", "price": "1.25", "max_age_ms": 60_000, "type": "LIMIT"}
    assert first.items() <= orders[0].items()
    assert orders[1]["kind"] == "CANCEL"
    (guarded,) = [order for order in orders if "guard" in order]
    assert guarded["cl_ord_id"] == "guarded"
    assert [row["guard"] for row in found if row["kind"] == "GUARD_END"] == [guarded["guard"]]
    assert (orders[2]["kind"], orders[2]["account"]) == ("MASS_CANCEL", 7)
    reports = [report for row in found for report in row.get("reports", [])]
    after = 1
    for report in reports:
        assert report["report"] == after
        after += report.get("count", 1)
    assert [row["state"] for row in found if row["kind"] == "TRADING"] == ["HALTED", "ACTIVE"]
    text = journal("dump", "--directory", directory).stdout.splitlines()
    assert len(text) == len(found)
    assert text[0] == "1:512  commit 1  INSTRUMENT  id=1  digest=2a23f0189af2be9c  text=AAPL 0.01 1"
    assert any("orders=1 (NEW first 1 " in line for line in text)


def test_dump_may_begin_later_and_show_one_kind(busy: Site) -> None:
    directory = busy.directory / "oj"
    every = lines(journal("dump", "--directory", directory, "--json"))
    later = lines(journal("dump", "--directory", directory, "--from", 50, "--kind", "orders", "--json"))
    assert later == [row for row in every if row["commit"] >= 50 and row["kind"] == "ORDERS"]
    assert lines(journal("dump", "--directory", directory, "--kind", "6", "--json")) == [
        row for row in every if row["kind"] == "RESERVE"
    ]


def test_an_engines_records_are_shown_as_bytes_and_no_key_is_in_any(busy: Site) -> None:
    found = lines(journal("dump", "--directory", busy.directory / "ej", "--json"))
    assert {"segment", "offset", "commit", "kind", "bytes"} == set(found[0])
    assert bytes.fromhex(found[0]["bytes"]).endswith(b"AAPL 0.01 1")
    for directory in ("ej", "oj"):
        assert BYTES_OF_KEY.hex() not in journal("dump", "--directory", busy.directory / directory, "--json").stdout


def test_where_no_journal_is_it_is_said_in_one_line(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        for command in ("list", "verify", "dump"):
            result = journal(command, "--directory", directory)
            assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def _orders(first: int) -> bytes:
    return Orders(first, 1, RECORD.pack(5, 100, 1, 1, 0, 1, 0), [], []).encode()[1]


def _rename_application(directory: Path) -> None:
    """The journals of tests are called otherwise."""
    for path in directory.glob("*.segment"):
        header = decode_segment_header(path.read_bytes(), str(path))
        change(path, 0, encode_segment_header(attrs.evolve(header, application=b"orderd")))
