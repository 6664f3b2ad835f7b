"""A daemon's process from the outside: how it is run, and how it ends with one line and an exit code."""

import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NoReturn

import click
import trio


def fail(program: str, text: str, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"{program}: {' '.join(text.split())}", err=True)
    sys.exit(code)


def run_daemon(
    program: str, main: Callable[[], Awaitable[None]], exit_codes: Mapping[type[BaseException], int]
) -> None:
    """Run ``main`` in trio. An error of a type that ``exit_codes`` names ends the process with its text and that code.

    When several tasks failed, the first of those errors is told; an error of another type is a defect and keeps its
    traceback.
    """
    _tune_collector()
    _end_at_once_on_signals()
    try:
        trio.run(main)
    except BaseException as error:
        leaves = list(_leaves(error))
        codes = [next((c for t, c in exit_codes.items() if isinstance(leaf, t)), None) for leaf in leaves]
        if None in codes:
            raise
        fail(program, str(leaves[0]), codes[0] or 1)


def _tune_collector() -> None:
    """Keep pauses of the cycle collector out of the hot path.

    Orders and their like make no cycles, and there may be millions of them: a full collection would hold the loop for a
    second and find nothing. Young objects, where the cycles of frames and exceptions are, are still looked at, in
    portions of below a millisecond.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000_000)


def _end_at_once_on_signals() -> None:
    """Until the daemon listens for signals itself, it has promised nothing to anybody and can just go."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
