"""Compares two objects field by field, through everything that they hold: nothing that was added later is left out.

What may differ is named here, each with its reason; what two equal worlds may have in another shape is given another
look at instead.
"""

from typing import Any

from engine.expiries import Expiries
from engine.levels import BookSide
from engine.matcher import Matcher
from engine.taking import Trades
from orderd.link.report_log import ReportLog

ATOMS = (int, str, bytes, bool, float, type(None), type)


def differences(one: Any, other: Any) -> list[str]:
    """Paths at which the two differ; none if they are equal."""
    found: list[str] = []
    paired: dict[int, int] = {}
    kept: list[Any] = []  # so that no id is used twice meanwhile
    todo = [("", one, other)]
    while todo and len(found) < 20:
        path, a, b = todo.pop()
        if type(a) is not type(b):
            found.append(f"{path}: {type(a).__name__} and {type(b).__name__}")
        elif isinstance(a, ATOMS) or callable(a):
            if a != b and not callable(a):
                found.append(f"{path}: {a!r} and {b!r}")
        elif id(a) in paired:
            if paired[id(a)] != id(b):
                found.append(f"{path}: not the same object as elsewhere")
        else:
            a_parts, b_parts = parts(a), parts(b)
            paired[id(a)] = id(b)
            kept += (a_parts, b_parts)
            if [name for name, _ in a_parts] != [name for name, _ in b_parts]:
                found.append(f"{path}: {[n for n, _ in a_parts][:10]} and {[n for n, _ in b_parts][:10]}")
            else:
                todo += [(f"{path}.{name}", x, y) for (name, x), (_, y) in zip(a_parts, b_parts, strict=True)]
    return found


def parts(value: Any) -> list[tuple[str, Any]]:
    """What an object is made of, by name."""
    if isinstance(value, dict):
        out = []
        for at, (key, item) in enumerate(value.items()):
            # A key that is an object is told by its place.
            out.append((str(key) if isinstance(key, ATOMS) else f"key{at}", item))
            if not isinstance(key, ATOMS):
                out.append((f"key{at}!", key))
        return out
    if isinstance(value, list | tuple):
        return [(str(at), item) for at, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(str(at), item) for at, item in enumerate(sorted(value))]
    if isinstance(value, Expiries):
        # Heaps of two shapes can hold the same; orders that are done may still be in one of them.
        orders = value.orders()
        return [("orders", sorted((o.extras.expiry_ns if o.extras else 0, o.session.id, o.sequence) for o in orders))]
    if isinstance(value, ReportLog):
        # Offsets count from the first item that was ever added, or from the first that was restored.
        kept = value.read(value.acknowledged, 2**63)
        return [("next", value.next), ("acknowledged", value.acknowledged), ("kept", kept), ("items", value._items)]
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names += list(getattr(value, "__dict__", ()))
    out = [(name, getattr(value, name)) for name in names if hasattr(value, name) and not name.startswith("__")]
    if isinstance(value, Trades):
        # Counted to let the caller go now and then; no report hangs on it.
        out = [(name, item) for name, item in out if name not in ("without_trade", "_pause_at")]
    # Tables that are looked up and never walked: their order means nothing.
    unordered = {BookSide: "levels", Matcher: "_plain"}.get(type(value))
    return [(name, dict(sorted(item.items())) if name == unordered else item) for name, item in out]
