"""docs/CLIENT.md speaks of what there is."""

import ast
import re
from typing import Final

import orderd.client
from orderd.client import Client, NewOrder
from tests.support.processes import ROOT

TEXT: Final = (ROOT / "docs" / "CLIENT.md").read_text()


def test_each_method_and_class_that_is_told_exists() -> None:
    methods = set(re.findall(r"`(?:client\.)?(\w+)\(", TEXT)) - {"Client", "NewOrder"}
    assert {"limit", "resolve", "rebuild", "deadman"} <= methods
    assert not {name for name in methods if not hasattr(Client, name)}
    errors = re.findall(r"`([A-Z]\w+)`", TEXT.split("## Errors", 1)[1].split("## ", 1)[0])
    assert not {
        name for name in errors if name not in (*orderd.client.__all__, "ClientError") and name.isidentifier()
    } - {
        "REJECTED",
        "UNKNOWN",
    }


def test_each_option_that_is_told_exists() -> None:
    options = re.search(r"Options of an order, by name: (.*?)\. Each", TEXT, re.DOTALL)
    assert options is not None
    told = set(re.findall(r"`(\w+)`", options[1]))
    fields = {field.name for field in NewOrder.__attrs_attrs__} - {"symbol", "side", "quantity", "price"}
    assert told == fields


def test_the_code_can_be_read() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        ast.parse(block)
