"""docs/COMMANDS.md says what the command table says, and its examples work."""

from pathlib import Path

import hiredis
import pytest

from orderd.intake import documentation, options_documentation
from orderd.intake.command_table import TABLE, Command
from orderd.intake.resp import CommandReader
from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import Reason
from tests.support.site import Site, encode

DOCUMENT = Path(__file__).parents[2] / "docs" / "COMMANDS.md"


def test_the_document_is_what_the_generator_makes_of_the_table() -> None:
    assert DOCUMENT.read_text() == documentation.document(), (
        "run: python -m orderd.intake.documentation > docs/COMMANDS.md"
    )


def test_every_command_every_reason_and_every_group_has_its_place() -> None:
    text = documentation.document()
    for command in TABLE:
        assert text.count(f"### {command.name}\n") == 1
        assert command.summary
        assert command.reply
    for reason in list(Reason)[1:]:
        assert text.count(f"| `{reason.name}` |") == 1
    assert {command.group for command in TABLE} == set(documentation.GROUPS)


@pytest.mark.parametrize(("what", "command"), options_documentation.EXAMPLES)
def test_each_example_of_an_option_works(what: str, command: str) -> None:
    client = Site().connect()
    order = client.pairs(*command.split())
    assert order["status"] in ("NEW", "CANCELED"), what
    assert f"`{command}`" in documentation.document()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("command", list(TABLE), ids=lambda command: command.name)
def test_each_example_works(command: Command, protocol: int) -> None:
    client = Site().connect()
    client.call("HELLO", protocol)
    client.pairs("ORDER.NEW", "a1", "AAPL", "BUY", 90, "LIMIT", "187.00")
    if command.name == "ORDER.NEW":
        client.pairs("ORDER.CANCEL", "a1")
    if command.name in ("EXEC", "DISCARD"):
        client.call("MULTI")
    example = command.example or documentation.EXAMPLES[command.name]
    words = [b"%b" % word.encode() for word in example.split()]
    words = [RECORD.pack(1, 5, 5, 1, 0, Kind.NEW, 0) if word == b"RECORDS" else word for word in words]
    if command.name == "ORDER.NEW":
        words[1] = b"a2"
    found = TABLE.find(words)
    assert found is not None
    assert found[0] is command
    assert command.takes(len(words))
    assert CommandReader(query_bytes_max=1 << 20).feed(encode(words)) == [words]
    reply = client.call(*words)
    if command.name == "EXEC.SUBSCRIBE" and protocol == 2:
        assert str(reply) == "ERR EXEC.SUBSCRIBE needs RESP3: say HELLO 3 first"
    else:
        assert not isinstance(reply, hiredis.ReplyError)
