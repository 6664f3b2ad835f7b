"""Settings files: TOML text to checked attrs classes, and what a reload needs to know about them.

A settings class is a frozen attrs class made of :mod:`orderd.runtime.fields`. Loading is strict: a key that the class
lacks, a value of another type (``"5"`` and ``true`` are no integers; ``5`` is fine where 5.0 is) and a value that a
field refuses are each one :class:`SettingsError` whose text is one line with key, value and what is allowed. Values on
the command line go over those of the file before anything is checked, so that they are held to the same rules.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_origin

import attrs
import cattrs
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from orderd.runtime.fields import ABSENT, ALLOWED, RELOADABLE, FieldError, one_line, shown

T = TypeVar("T")

FILE_BYTES_MAX: Final = 4 * 1024 * 1024


class SettingsError(Exception):
    """Settings that cannot be used. The text is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def load(
    cls: type[T],
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    without_file: Mapping[str, Any] | None = None,
    where_empty: Mapping[str, str] | None = None,
) -> T:
    """The settings in the TOML file at ``path``, or in the document ``without_file`` where there is no path.

    ``overrides`` are ``section.key=value`` texts put over them; a value is read as a TOML value, and what is none is
    taken as a string. ``where_empty`` are strings by dotted key for what is missing or empty after that. Raises
    :class:`SettingsError`.
    """
    document = deepcopy(dict(without_file or {})) if path is None else read_toml(path)
    overridden = [_override(document, text) for text in overrides]
    for key, value in (where_empty or {}).items():
        _fill(document, key, value)
    try:
        return structure(cls, document)
    except FieldError as error:
        by_hand = any(_is_below(error.key, key) or _is_below(key, error.key) for key in overridden)
        source = "--set" if by_hand else "settings" if path is None else str(path)
        raise SettingsError(f"{source}: {error}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The document in the file at ``path``. Raises :class:`SettingsError` with the line of what is not TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: is not UTF-8 text") from None
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError(f"{path}: is longer than {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(place[1]) if place is not None and place[1] else text.rstrip("\n").count("\n") + 1
        what = str(error)[: place.start()] if place is not None else "is nested too deep"
        raise SettingsError(f"{path}:{line}: {what}") from None


def _override(document: dict[str, Any], text: str) -> str:
    """Puts ``section.key=value`` into the document and answers the key."""
    key, equals, value = text.partition("=")
    key = key.strip()
    names = key.split(".")
    if not equals or not all(names):
        raise SettingsError(f"--set {shown(text)}: must be section.key=value")
    table = document
    for depth, name in enumerate(names[:-1], 1):
        below = table.setdefault(name, {})
        if not isinstance(below, dict):
            raise SettingsError(f"--set {shown(text)}: {'.'.join(names[:depth])} is not a section")
        table = below
    table[names[-1]] = _toml_value(value)
    return key


def _fill(document: dict[str, Any], key: str, value: str) -> None:
    """Puts ``value`` where the document has nothing or an empty string at ``key``."""
    *sections, name = key.split(".")
    table: Any = document
    for section in sections:
        table = table.setdefault(section, {}) if isinstance(table, dict) else None
    # What is no table is refused later, with the words for it.
    if isinstance(table, dict) and table.get(name, "") == "":
        table[name] = value


def _is_below(key: str, above: str) -> bool:
    return key == above or key.startswith((f"{above}.", f"{above}["))


def _toml_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return document["value"] if document.keys() == {"value"} else text


# From untyped values to classes


def structure(cls: type[T], document: Mapping[str, Any]) -> T:
    """``document`` as a ``cls``. Raises :class:`FieldError`, with the full key, for the first misfit."""
    try:
        return _CONVERTER.structure(document, cls)
    except BaseValidationError as error:
        raise _first_problem(error, document, "") from None


def _first_problem(error: Exception, value: Any, path: str) -> FieldError:
    """The first problem in the tree of what went wrong with ``value``, which is what the document has at ``path``."""
    if isinstance(error, BaseValidationError):
        first = error.exceptions[0]
        name = _noted_name(first)
        if name is None:
            return _first_problem(first, value, path)
        if isinstance(name, str) and name not in value:
            return FieldError(_join(path, name), ABSENT, "is missing")
        below = _first_problem(first, value[name], _join(path, name))
        if isinstance(name, str) and isinstance(first, FieldError):
            # Wrong already in its type: say what the field allows, which says more than the type.
            below.problem = attrs.fields_dict(error.cl)[name].metadata.get(ALLOWED, below.problem)
        return below
    if isinstance(error, ForbiddenExtraKeysError):
        name = next(key for key in value if key in error.extra_fields)
        known = ", ".join(attribute.name for attribute in attrs.fields(error.cl) if attribute.init)
        return FieldError(_join(path, name), value[name], f"unknown key; known here: {known}")
    if isinstance(error, FieldError):
        return FieldError(_join(path, error.key) if error.key else path, error.value, error.problem)
    raise error


def _noted_name(error: Exception) -> str | int | None:
    """The key or index that cattrs noted on ``error``, if any."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return note.name
        if isinstance(note, IterableValidationNote):
            return note.index
    return None


def _join(path: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _strict(allowed: str, type_: type) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        # The very type: bool is a subclass of int, but true is not a number.
        if type(value) is not type_:
            raise FieldError("", value, f"must be {allowed}")
        return value

    return check


def _structure_number(value: Any, _: Any) -> float:
    if type(value) not in {int, float}:
        raise FieldError("", value, "must be a number")
    try:
        return float(value)
    except OverflowError:
        raise FieldError("", value, "is too large") from None


def _of(type_: type, allowed: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``inner``, for values of ``type_`` only."""

    def check(value: Any, cls: Any) -> Any:
        if not isinstance(value, type_):
            raise FieldError("", value, f"must be {allowed}")
        return inner(value, cls)

    return check


def _origin(cls: Any) -> Any:
    return get_origin(cls)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(int, _strict("a whole number", int))
    converter.register_structure_hook(str, _strict("a string", str))
    converter.register_structure_hook(bool, _strict("true or false", bool))
    converter.register_structure_hook(float, _structure_number)
    converter.register_structure_hook_func(lambda cls: _origin(cls) is Literal, _strict("a string", str))
    converter.register_structure_hook_factory(
        attrs.has, lambda cls: _of(dict, "a table", make_dict_structure_fn(cls, converter))
    )
    converter.register_structure_hook_factory(
        lambda cls: _origin(cls) is tuple,
        lambda cls: _of(list, "an array of tables", homogenous_tuple_structure_factory(cls, converter)),
    )
    return converter


_CONVERTER: Final = _make_converter()


# From classes to keys


def flatten(settings: Any) -> dict[str, str]:
    """Each value by its dotted key, as text: strings as they are, the rest as TOML writes it."""
    return {key: value if isinstance(value, str) else shown(_plain(value)) for key, value in _leaves(settings, "")}


def changed_keys(old: Any, new: Any) -> list[str]:
    """The dotted keys whose values differ between two settings of one class."""
    pairs = zip(_leaves(old, ""), _leaves(new, ""), strict=True)
    return [key for (key, before), (_, after) in pairs if before != after]


def is_reloadable(cls: type[Any], key: str) -> bool:
    """Whether a running daemon may take a new value of the dotted ``key``. Raises KeyError for an unknown one."""
    *sections, name = key.split(".")
    for section in sections:
        cls = _attributes(cls)[section].type or object
    return bool(_attributes(cls)[name].metadata.get(RELOADABLE, False))


def _attributes(cls: type[Any]) -> "dict[str, attrs.Attribute[Any]]":
    return attrs.fields_dict(cls) if attrs.has(cls) else {}


def _leaves(settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for attribute in attrs.fields(type(settings)):
        if not attribute.init:
            continue
        value = getattr(settings, attribute.name)
        if attrs.has(type(value)):
            yield from _leaves(value, f"{prefix}{attribute.name}.")
        else:
            yield prefix + attribute.name, value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if attrs.has(type(value)):
        return attrs.asdict(value, filter=lambda attribute, one: attribute.init and one is not None)
    return value
