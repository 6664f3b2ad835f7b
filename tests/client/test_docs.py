"""docs/CLIENT.md speaks of what there is."""

import ast
import inspect
import re
import signal
from contextlib import nullcontext
from typing import Final

import pytest
import trio

import orderd.client
from orderd.client import Client, NewOrder
from tests.support.processes import ROOT, Site

TEXT: Final = (ROOT / "docs" / "CLIENT.md").read_text()
CODE: Final = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


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


class LongEnough(Exception):
    """A loop that waits for ever has shown that it does."""


def end(*_: object) -> None:
    raise LongEnough


@pytest.mark.parametrize("number", range(len(CODE)))
def test_the_code_does_what_it_says(number: int, site: Site, client: Client) -> None:
    """Each block alone, as if what stands before it had been done."""
    code = CODE[number].replace("/run/orderd/orderd.sock", str(site.socket_path))
    compiled = compile(code, "CLIENT.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    known = {"client": client, "Client": Client, "NewOrder": NewOrder}
    waits = "for execution in" in code

    async def run() -> None:
        with trio.move_on_after(0.5 if waits else 30) as patience:
            await eval(compiled, known)
        assert patience.cancelled_caught == waits

    if compiled.co_flags & inspect.CO_COROUTINE:
        trio.run(run)
        return
    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5 if waits else 30)
        with pytest.raises(LongEnough) if waits else nullcontext():
            exec(compiled, known)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
