"""How likely and how strong faults are, and which settings daemons have.

What a :mod:`tests.simulation.swarm` is made of. Pure; every choice comes from the generator that is given.
"""

import random
from typing import Any, Final

import attrs

from tests.simulation.conditions import NetworkFaults
from tests.support.simulated_disk import Trouble

DAY_END: Final = "22:15"
DAY_END_S: Final = 100.0
"""Seconds from where wall clocks begin (22:13:20 UTC) to the end of the day."""

Options = dict[str, Any]
"""Settings that are not the default, by dotted name."""


@attrs.frozen
class MachineFaults:
    """What happens to a machine of one kind, each on its own."""

    kill_mean_s: float | None = None
    """How often somebody ends its daemon; None is never."""
    power: float = 0.0
    """Of these: how many are power failures."""
    term: float = 0.0
    """SIGTERM."""
    hangup: float = 0.0
    """SIGHUP: a reload."""
    dies_at_call: float = 0.0
    """How many of its lives end at some call to the machine below it."""
    pause_mean_s: float = 0.1
    """How long it is down."""
    quick_disk: float = 0.5
    """How many of its lives find the disk so quick that they commit in the loop."""
    thread_mean_s: float = 0.0001
    """What threads take, before and after what they do: a slow disk, for one."""
    disk_trouble: Trouble | None = None
    clock_jump_mean_s: float | None = None
    """How often its wall clock jumps."""


def _chance(rng: random.Random, least: float, most: float, share: float = 0.5) -> float:
    """Something between, by orders of magnitude; 0 in all but this share of seeds."""
    value = _between(rng, least, most)
    return value if rng.random() < share else 0.0


def _between(rng: random.Random, least: float, most: float) -> float:
    return float(f"{least * (most / least) ** rng.random():.3g}")


def network_faults(rng: random.Random) -> NetworkFaults:
    """One in six seeds has a good network."""
    if rng.random() < 1 / 6:
        return NetworkFaults(base_s=_between(rng, 0.00005, 0.005), jitter_s=_chance(rng, 0.00005, 0.005, 0.7))
    return NetworkFaults(
        base_s=_between(rng, 0.00005, 0.005),
        jitter_s=_chance(rng, 0.00005, 0.02, 0.7),
        loss=_chance(rng, 0.01, 0.5),
        duplication=_chance(rng, 0.01, 0.5),
        corruption=_chance(rng, 0.005, 0.2, 0.4),
        late=_chance(rng, 0.005, 0.1, 0.4),
        late_max_s=_between(rng, 0.1, 5.0),
        replay=_chance(rng, 0.01, 0.3, 0.4),
        stranger=_chance(rng, 0.01, 0.2, 0.3),
        cuts_per_s=_chance(rng, 0.1, 1.0),
        cut_mean_s=_between(rng, 0.05, 2.0),
        cut_one_way=rng.choice((0.0, 0.5, 1.0)),
        cut_calls=rng.choice((0.0, 0.5, 1.0)),
        bursts_per_s=_chance(rng, 0.2, 3.0, 0.3),
        burst_mean_s=_between(rng, 0.01, 0.5),
        call_lost_request=_chance(rng, 0.02, 0.4, 0.4),
        call_lost_reply=_chance(rng, 0.02, 0.4, 0.4),
        call_reset=_chance(rng, 0.02, 0.4, 0.4),
        call_slow=_chance(rng, 0.02, 0.4, 0.4),
        call_refusals_per_s=_chance(rng, 0.1, 0.6, 0.3),
        call_refusal_mean_s=_between(rng, 0.05, 3.0),
    )


def machine_faults(rng: random.Random, *, synced: bool) -> MachineFaults:
    """``synced``: whether its journal is, so that lost power is no excuse."""
    kills = rng.random() < 0.5
    dies_at_call = rng.choice((0.0, 0.0, 0.3, 0.8))
    may_die = kills or dies_at_call > 0
    trouble = Trouble(
        sync=_chance(rng, 0.001, 0.02),
        write=_chance(rng, 0.001, 0.02),
        read=_chance(rng, 0.001, 0.03),
        full=_chance(rng, 0.03, 0.6),
        short=_chance(rng, 0.02, 0.5),
        any_order=rng.random() < 0.5,
    )
    return MachineFaults(
        kill_mean_s=_between(rng, 0.4, 8.0) if kills else None,
        power=rng.choice((0.0, 0.3, 1.0)) if synced and may_die else 0.0,
        term=rng.choice((0.0, 0.0, 0.2, 0.5)) if kills else 0.0,
        hangup=rng.choice((0.0, 0.0, 0.3)) if kills else 0.0,
        dies_at_call=dies_at_call,
        pause_mean_s=_between(rng, 0.01, 1.0),
        quick_disk=rng.choice((0.0, 0.5, 1.0)),
        thread_mean_s=_between(rng, 0.0003, 0.03) if rng.random() < 0.4 else 0.0001,
        disk_trouble=trouble if synced and rng.random() < 0.4 else None,
        clock_jump_mean_s=_between(rng, 0.2, 5.0) if rng.random() < 0.25 else None,
    )


def _drawn(rng: random.Random, choices: dict[str, tuple[float, tuple[Any, ...]]]) -> Options:
    """Each setting in its share of seeds. All are drawn each time, so that one more changes little."""
    options: Options = {}
    for name, (share, values) in choices.items():
        value = rng.choice(values)
        if rng.random() < share:
            options[name] = value
    return options


def gateway_options(rng: random.Random) -> Options:
    """orderd's."""
    return _drawn(rng, {
        "mode": (0.5, ("batch", "fire-and-forget")),
        "reply_timeout_ms": (0.4, (30, 100, 500, 2000)),
        "shutdown_timeout_ms": (0.3, (200, 1000, 5000)),
        "limits.orders_unconfirmed_max": (0.3, (70, 120, 300)),
        "limits.orders_remembered_max": (0.2, (5, 20, 60)),
        "limits.client_share_percent": (0.3, (1, 10, 100)),
        "limits.client_orders_per_second": (0.05, (20, 100)),
        "executions.kept": (0.15, (20, 100, 400)),
        "executions.in_memory": (0.5, (1, 10, 50)),
        "journal.segment_bytes": (0.6, (16_384, 32_768, 65_536)),
        "journal.durability": (0.06, ("interval", "none")),
        "batch.orders_max": (0.4, (1, 2, 8)),
        "batch.linger_ms": (0.4, (0.0, 5.0, 50.0)),
        "engine.transport": (0.25, ("udp-only", "grpc-only")),
        "udp.datagram_bytes_max": (0.5, (512, 600, 4096)),
        "udp.window_datagrams": (0.5, (1, 2, 4)),
        "udp.timeout_initial_ms": (0.4, (5, 60, 200)),
        "udp.timeout_min_ms": (0.4, (1, 20)),
        "udp.retransmits_max": (0.5, (0, 1, 2, 10)),
        "udp.probe_interval_ms": (0.5, (20, 80)),
        "udp.report_poll_ms": (0.4, (5, 80)),
        "grpc.timeout_ms": (0.5, (30, 100, 300)),
    })  # fmt: skip


def engine_options(rng: random.Random) -> Options:
    """The engine's."""
    return _drawn(rng, {
        "snapshot.orders": (0.7, (10, 30, 80, 200)),
        "limits.reports_max": (0.15, (30, 100, 300)),
        "day_end": (0.2, (DAY_END,)),
        "shutdown_timeout_ms": (0.3, (100, 1000)),
        "journal.durability": (0.04, ("interval", "none")),
    })  # fmt: skip
