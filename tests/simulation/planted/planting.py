"""Plants a bug in this process: the functions that it changes get the code that the changed source compiles to.

What was imported before stays: a function is the same object, whoever holds it, and only what it does is another. So a
bug costs a compilation, and is taken out again. Bugs are within functions; what a module does when it is imported stays
as it was.
"""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TypeVar

from tests.simulation.planted.catalogue import Planted, StaleBug

T = TypeVar("T")


@contextmanager
def planted_here(bug: Planted) -> Iterator[None]:
    """The product has ``bug`` within the block, for everybody in this process."""
    changed = changes(bug)
    before = [(function, function.__code__) for function, _ in changed]
    for function, code in changed:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def changes(bug: Planted) -> list[tuple[FunctionType, CodeType]]:
    """The functions that ``bug`` changes, and their code with it. Raises :class:`StaleBug`."""
    found: list[tuple[FunctionType, CodeType]] = []
    for name in bug.modules():
        module = importlib.import_module(name)
        path = module.__file__
        assert path is not None
        source = Path(path).read_text(encoding="utf-8")
        before = _functions_in(compile(source, path, "exec", dont_inherit=True))
        after = _functions_in(compile(bug.source(name, source), path, "exec", dont_inherit=True))
        there = _functions_of(module, path)
        if before.keys() != after.keys():
            raise StaleBug(f"{bug.name}: {name} has other functions with it")
        changed = [key for key in before if _content(before[key]) != _content(after[key])]
        if not changed or any(key not in there for key in changed):
            raise StaleBug(f"{bug.name}: changes no function of {name}, or one that cannot be found")
        found += [(there[key], after[key]) for key in changed]
    return found


_Key = tuple[str, int]
"""A function's name, with the class it is in, and which of those with this name it is."""


def _functions_in(code: CodeType) -> dict[_Key, CodeType]:
    """Functions of a module and of its classes, without those that are made within functions."""
    found: dict[_Key, CodeType] = {}

    def look(outer: CodeType) -> None:
        for const in outer.co_consts:
            if isinstance(const, CodeType):
                if const.co_flags & inspect.CO_OPTIMIZED:
                    _add(found, const.co_qualname, const)
                else:
                    look(const)

    look(code)
    return found


def _functions_of(module: ModuleType, path: str) -> dict[_Key, FunctionType]:
    """The same, alive."""
    functions: dict[int, FunctionType] = {}

    def look(names: dict[str, object]) -> None:
        for value in names.values():
            if isinstance(value, type):
                if value.__module__ == module.__name__ and value not in seen:
                    seen.add(value)
                    look(dict(value.__dict__))
                continue
            for function in _unwrapped(value):
                if function.__code__.co_filename == path:
                    functions[id(function)] = function

    seen: set[type] = set()
    look(module.__dict__)
    found: dict[_Key, FunctionType] = {}
    for function in sorted(functions.values(), key=lambda function: function.__code__.co_firstlineno):
        _add(found, function.__code__.co_qualname, function)
    return found


def _unwrapped(value: object) -> list[FunctionType]:
    """The functions in what a name of a module or class stands for."""
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset) if isinstance(part, FunctionType)]
    value = inspect.unwrap(value.__func__ if isinstance(value, (classmethod, staticmethod)) else value)  # type: ignore[arg-type]
    return [value] if isinstance(value, FunctionType) else []


def _add(found: dict[_Key, T], name: str, what: T) -> None:
    number = 0
    while (name, number) in found:
        number += 1
    found[name, number] = what


def _content(code: CodeType) -> object:
    """What it does, wherever it stands in its file."""
    consts = tuple(_content(const) if isinstance(const, CodeType) else (type(const), const) for const in code.co_consts)
    return code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
