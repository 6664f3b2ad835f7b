"""Log lines: one event, one line on stderr, with a UTC time stamp; for people or as JSON.

Values are escaped by the renderers, so that nothing a client or an engine sends can start a line of its own. Keys and
order contents are never logged.
"""

import logging
import sys
from typing import Any, Literal, TextIO

import attrs
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from orderd.runtime import fields
from orderd.runtime.fields import one_line

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


@attrs.frozen
class LogSettings:
    """The ``[log]`` table, the same in both daemons' files."""

    format: LogFormat = fields.choice("console", "console", "json")
    level: LogLevel = fields.choice("info", "debug", "info", "warning", "error")


def configure_logging(format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:  # noqa: A002
    """Sets logging up for the whole process; may be called again. ``stream`` is stderr unless given."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%fZ", utc=True),
            *_renderers(format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger for lines of ``name``: ``log.info("event", key=value)``. May be made before logging is set up."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def _renderers(format: LogFormat) -> list[Processor]:  # noqa: A002
    # Tracebacks as plain text in both: structlog's dictionaries of them show local variables, and with them the key.
    final = structlog.processors.JSONRenderer(default=str) if format == "json" else _render_line
    return [structlog.processors.format_exc_info, final]


def _render_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    """``2026-01-31T12:00:00.000000Z info  transport: state changed state=UDP_ENABLED reason="first reply"``."""
    head = f"{event.pop('timestamp')} {event.pop('level'):<7} {event.pop('component', 'orderd')}: {event.pop('event')}"
    return one_line(" ".join([head, *(f"{key}={_value(value)}" for key, value in event.items())]))


def _value(value: Any) -> str:
    text = str(value)
    plain = text != "" and text.isprintable() and not any(c in text for c in ' "=')
    return text if plain else fields.shown(text)
