"""How the two roads to the engine do: INFO's counters as a view of each path. Pure.

A counter that the daemon does not have is None here and ``-`` for people. Rates are differences of two looks; where a
counter went back, the daemon has been started again in between and there is no rate.
"""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orderd.ctl.latency import shown_us

Values = Mapping[str, str]
View = dict[str, Any]

UDP: Final = {
    "address": "engine_udp",
    "confirmed": "orders_confirmed_udp_total",
    "frames": "udp_batches_sent_total",
    "retransmits": "udp_retransmits_total",
    "exhausted": "udp_exhausted_total",
    "in_flight": "udp_in_flight",
    "round_trip_us": "udp_round_trip_us",
    "timeout_us": "udp_timeout_us",
    "probes_sent": "udp_probes_sent_total",
    "probes_answered": "udp_probes_answered_total",
    "datagrams_sent": "udp_datagrams_sent_total",
    "datagrams_received": "udp_datagrams_received_total",
    "datagrams_rejected": "udp_datagrams_rejected_total",
}
GRPC: Final = {
    "address": "engine_grpc",
    "confirmed": "orders_confirmed_grpc_total",
    "frames": "grpc_batches_sent_total",
    "calls": "grpc_calls_total",
    "calls_failed": "grpc_calls_failed_total",
    "round_trip_us": "grpc_round_trip_us",
}
TEXTS: Final = {
    "transport": "transport",
    "state": "transport_state",
    "reason": "transport_reason",
    "changes": "transport_changes_total",
}
_RATED: Final = ("confirmed", "frames", "retransmits", "exhausted", "calls", "calls_failed", "datagrams_rejected")
_ROWS: Final = (
    ("orders confirmed", "confirmed"),
    ("share", "share"),
    ("frames sent", "frames"),
    ("retransmissions", "retransmits"),
    ("loss, estimated", "loss"),
    ("given to gRPC", "exhausted"),
    ("calls", "calls"),
    ("calls failed", "calls_failed"),
    ("datagrams rejected", "datagrams_rejected"),
    ("probes answered", "probes_answered"),
    ("in flight", "in_flight"),
    ("round trip", "round_trip_us"),
)


def view(values: Values, before: Values | None = None, seconds: float = 0.0) -> View:
    """What INFO's ``values`` say of the transport and of each path, since the daemon's start.

    With an earlier look, ``before``, taken ``seconds`` ago, ``per_second`` has the rates in between and the shares of
    the orders confirmed meanwhile.
    """
    found: View = {name: values.get(key) for name, key in TEXTS.items()}
    found["changes"] = _count(values, TEXTS["changes"])
    found["udp"], found["grpc"] = _path(values, UDP), _path(values, GRPC)
    _add_shares(found)
    found["udp"]["loss"] = _share(found["udp"]["retransmits"], found["udp"]["frames"])
    if before is not None and seconds > 0:
        rates: View = {"udp": _rates(values, before, UDP, seconds), "grpc": _rates(values, before, GRPC, seconds)}
        _add_shares(rates)
        rates["udp"]["loss"] = _share(rates["udp"].get("retransmits"), rates["udp"].get("frames"))
        found["per_second"] = rates
    return found


def _count(values: Values, key: str) -> int | None:
    text = values.get(key, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _path(values: Values, keys: Mapping[str, str]) -> View:
    return {name: values.get(key) if name == "address" else _count(values, key) for name, key in keys.items()}


def _rates(values: Values, before: Values, keys: Mapping[str, str], seconds: float) -> View:
    rates: View = {}
    for name in _RATED:
        if name in keys:
            now, then = _count(values, keys[name]), _count(before, keys[name])
            rates[name] = None
            if now is not None and then is not None and now >= then:
                rates[name] = round((now - then) / seconds, 1)
    return rates


def _add_shares(paths: View) -> None:
    """Which part of the confirmed orders each path carried, 0 to 1."""
    counts = {name: paths[name]["confirmed"] for name in ("udp", "grpc")}
    total = sum(count or 0 for count in counts.values())
    for name, count in counts.items():
        paths[name]["share"] = None if count is None or not total else round(count / total, 4)


def _share(again: float | None, first: float | None) -> float | None:
    """Part of all transmissions that were repeats: what is sent again was lost, or its answer was, or it was late."""
    if again is None or first is None or not again + first:
        return None
    return round(again / (again + first), 4)


def shown(name: str, value: Any) -> str:
    """One value of a path, for people."""
    if value is None:
        return "-"
    if name in ("share", "loss"):
        return f"{value:.1%}"
    if name.endswith("_us"):
        return shown_us(value) if value else "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}"


def table(found: View) -> Group:
    """A view for people: paths side by side, since the start and, where there are rates, per second."""
    state = "  ".join(str(found[name]) for name in ("state", "reason") if found[name])
    count = found["changes"]
    changes = "" if count is None else f", {count} change" if count == 1 else f", {count} changes"
    title = f"{found['transport'] or 'transport'}: {state or 'unknown'}{changes}"
    result = Table(box=None, pad_edge=False)
    result.add_column("", style="bold", no_wrap=True)
    rates = found.get("per_second")
    for name in ("udp", "grpc"):
        result.add_column(name, justify="right")
        if rates is not None:
            result.add_column("per second", justify="right", style="cyan")
    for label, name in (("engine", "address"), *_ROWS):
        cells = []
        for path in ("udp", "grpc"):
            values = found[path]
            cells.append((values[name] or "-") if name == "address" else shown(name, values.get(name)))
            if rates is not None:
                cells.append(shown(name, rates[path][name]) if name in rates[path] else "")
        if name == "probes_answered" and found["udp"]["probes_sent"] is not None:
            cells[0] += f" of {found['udp']['probes_sent']:,}"
        result.add_row(label, *cells)
    return Group(Text(title, style="bold"), result)


def line(found: View) -> str:
    """What moves, in one line, for a stream that has no end and so no table. Needs rates."""
    rates = found["per_second"]
    parts = [str(found["state"] or "unknown")]
    for path in ("udp", "grpc"):
        name = "gRPC" if path == "grpc" else "UDP"
        confirmed, share = shown("confirmed", rates[path]["confirmed"]), shown("share", rates[path]["share"])
        parts.append(f"{name} {confirmed}/s {share} {shown('round_trip_us', found[path]['round_trip_us'])}")
    parts.append(f"retransmissions {shown('retransmits', rates['udp']['retransmits'])}/s")
    parts.append(f"calls failed {shown('calls_failed', rates['grpc']['calls_failed'])}/s")
    return "  ".join(parts)
