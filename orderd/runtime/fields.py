"""Fields of settings classes: each knows its default, what it allows, and whether a reload may change it. Pure.

The rules are attrs validators, so a settings object that exists is valid however it was made: from a file, from the
command line or in a test. A field refuses with :class:`FieldError`, which names the key, the value and what is allowed.
Types are not checked here but where untyped text comes in (:mod:`orderd.runtime.settings`).
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

RELOADABLE: Final = "orderd.reloadable"
"""Metadata key: true where a running daemon may take a new value."""

ALLOWED: Final = "orderd.allowed"
"""Metadata key: what the field allows, as in "must be ..."."""

SHOWN_MAX: Final = 80
"""Longest form of a refused value in a message, in characters."""


ABSENT: Final = object()
"""The value of a :class:`FieldError` about a key that has none."""


def one_line(text: str) -> str:
    """``text`` with what is not printable written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(value: object) -> str:
    """``value`` much as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + one_line(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


class FieldError(ValueError):
    """A value that a settings class refuses.

    ``key`` is dotted and relative to the class; ``problem`` says what is allowed.
    """

    def __init__(self, key: str, value: object, problem: str) -> None:
        super().__init__(key, value, problem)
        self.key = key
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        if self.value is ABSENT:
            return f"{self.key} {self.problem}"
        text = shown(self.value)
        if len(text) > SHOWN_MAX:
            text = text[:SHOWN_MAX] + "..."
        return f"{self.key} = {text}: {self.problem}"


def _field(default: Any, problem: Callable[[Any], str | None], allowed: str, reloadable: bool) -> Any:
    def validate(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if (text := problem(value)) is not None:
            raise FieldError(attribute.name, value, text)

    return attrs.field(default=default, validator=validate, metadata={ALLOWED: allowed, RELOADABLE: reloadable})


def integer(default: int, minimum: int, maximum: int, *, reloadable: bool = False) -> Any:
    """A whole number from ``minimum`` to ``maximum``."""
    text = f"must be a whole number from {minimum} to {maximum}"
    return _field(default, lambda value: None if minimum <= value <= maximum else text, text, reloadable)


def number(default: float, minimum: float, maximum: float, *, reloadable: bool = False) -> Any:
    """A number, with or without decimals, from ``minimum`` to ``maximum``; never nan."""
    text = f"must be a number from {minimum:g} to {maximum:g}"
    return _field(default, lambda value: None if minimum <= value <= maximum else text, text, reloadable)


def boolean(default: bool, *, reloadable: bool = False) -> Any:
    """True or false."""
    return _field(default, lambda value: None, "must be true or false", reloadable)


def choice(default: str, *values: str, unsupported: tuple[str, ...] = (), reloadable: bool = False) -> Any:
    """One of ``values`` (declare the attribute as their ``Literal``); ``unsupported`` ones are for a later version."""
    text = "must be one of " + ", ".join(shown(value) for value in values if value not in unsupported)

    def problem(value: str) -> str | None:
        if value in unsupported:
            return "is not supported yet"
        return None if value in values else text

    return _field(default, problem, text, reloadable)


def text(
    default: str,
    check: Callable[[str], str | None] | None = None,
    *,
    allowed: str = "must be a string",
    reloadable: bool = False,
) -> Any:
    """A string without control characters. ``check`` answers what is wrong with it, as in "must be ...", or None.

    ``allowed`` is the answer to what is no string.
    """

    def problem(value: str) -> str | None:
        if not all(map(str.isprintable, value)):
            return "must be printable text"
        return check(value) if check is not None else None

    return _field(default, problem, allowed, reloadable)


def names(default: tuple[str, ...], *, reloadable: bool = False) -> Any:
    """An array of names: strings that are not empty and have nothing that is not printable."""
    text = "must be an array of names in quotes"

    def problem(value: tuple[str, ...]) -> str | None:
        return None if all(name and name.isprintable() for name in value) else text

    return _field(default, problem, text, reloadable)


def optional(of: Any) -> Any:
    """What the field ``of`` allows, or None where the key is not there."""
    return attrs.field(default=None, validator=attrs.validators.optional(of._validator), metadata=of.metadata)


def only(default: Any) -> Any:
    """Accepts its default alone: a key whose other values are for a later version."""
    text = f"must be {shown(default)}"
    return _field(default, lambda value: None if value == default else "is not supported yet", text, False)


def section(cls: type[Any]) -> Any:
    """A TOML table of its own: another settings class, with its defaults."""
    return attrs.field(factory=cls)
