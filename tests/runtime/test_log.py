"""A log line is one line with the UTC time, whatever is in it, and never shows what a frame held."""

import io
import json
import re
from collections.abc import Callable, Iterator

import pytest
import structlog

from orderd.runtime.log import LogFormat, LogLevel, configure_logging, get_logger

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def lines() -> Iterator[Callable[..., list[str]]]:
    stream = io.StringIO()

    def start(format: LogFormat, level: LogLevel = "info") -> Callable[[], list[str]]:  # noqa: A002
        configure_logging(format, level, stream)
        return lambda: stream.getvalue().splitlines()

    yield start  # type: ignore[misc]
    structlog.reset_defaults()


def test_a_console_line_has_time_level_name_event_and_values(lines: Callable[..., Callable[[], list[str]]]) -> None:
    log = get_logger("transport")
    written = lines("console")
    log.info("state changed", state="UDP_ENABLED", reason='first "reply"', path="", count=3)
    (line,) = written()
    assert TIME.match(line)
    rest = line.split(" ", 1)[1]
    assert rest == r'info    transport: state changed state=UDP_ENABLED reason="first \"reply\"" path="" count=3'


def test_a_json_line_is_one_object(lines: Callable[..., Callable[[], list[str]]]) -> None:
    written = lines("json")
    get_logger("journal").warning("slow commit", took_ms=17)
    (line,) = written()
    event = json.loads(line)
    assert TIME.fullmatch(event.pop("timestamp"))
    assert event == {"component": "journal", "level": "warning", "event": "slow commit", "took_ms": 17}


@pytest.mark.parametrize("format", ["console", "json"])
def test_nothing_a_stranger_sends_starts_a_line_of_its_own(
    lines: Callable[..., Callable[[], list[str]]],
    format: LogFormat,  # noqa: A002
) -> None:
    written = lines(format)
    hostile = "x\n2026-01-01T00:00:00.000000Z error forged\r\u2028\x1b[31m\x85"
    get_logger("intake").info("closed" + hostile, why=hostile, raw=hostile.encode(), **{"key\n": 1})
    try:
        raise ValueError(hostile)
    except ValueError:
        get_logger("intake").exception("failed")
    assert len(written()) == 2
    assert not any("\x1b" in line for line in written())


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_traceback_shows_no_local_variables(
    lines: Callable[..., Callable[[], list[str]]],
    format: LogFormat,  # noqa: A002
) -> None:
    written = lines(format)
    key = "ab" * 32
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("engine").exception("failed")
    (line,) = written()
    assert "ValueError: broken" in line
    assert key not in line


def test_levels_below_the_one_set_are_silent(lines: Callable[..., Callable[[], list[str]]]) -> None:
    log = get_logger("a")
    written = lines("console", "warning")
    log.debug("no")
    log.info("no")
    log.warning("yes")
    log.error("yes")
    assert len(written()) == 2


def test_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console", "debug")
    try:
        get_logger("a").debug("here")
    finally:
        structlog.reset_defaults()
    captured = capsys.readouterr()
    assert "debug   a: here" in captured.err
    assert captured.out == ""
