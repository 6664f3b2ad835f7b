"""What one seed has in store: its faults and how strong they are, its settings, its size. Pure, and plain numbers.

Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): what is on in every run hides what shows only without it. So
each kind of fault is left out altogether in about half of the seeds, and each setting is the default in about half;
strengths are drawn over orders of magnitude (:mod:`tests.simulation.drawing`). A few things are never together, since
no promise holds then: an operator's mistakes or lost power, and a journal that is not synced before it answers.

:meth:`Swarm.without` takes one thing out and leaves all else as it is, which is how a failure is made smaller.
"""

import random
from typing import Any, Final

import attrs

from engine.config import EngineJournalSettings, SnapshotSettings
from engine.config import EngineSettings as SettingsOfEngine
from engine.config import LimitSettings as EngineLimitSettings
from orderd.config import (
    BatchSettings,
    EngineSettings,
    ExecutionSettings,
    GrpcSettings,
    LimitSettings,
    ListenSettings,
    Settings,
    UdpSettings,
)
from orderd.runtime.journal_settings import JournalSettings
from tests.simulation.conditions import NetworkFaults
from tests.simulation.drawing import (
    DAY_END_S,
    MachineFaults,
    Options,
    engine_options,
    gateway_options,
    machine_faults,
    network_faults,
)
from tests.simulation.shape import Shape
from tests.support.simulated_disk import Trouble
from tests.support.site import INSTRUMENTS

INCIDENTS: Final = (
    "older_gateway_disk", "empty_gateway_disk", "older_engine_disk", "empty_engine_disk", "flipped_bit",
    "two_at_once", "copy_beside",
)  # fmt: skip
INCIDENT: Final = 0.07
"""How many seeds each one is in."""
LAGS: Final = 0.05
"""In how many seeds subscribers fall behind what is kept for them: by chance that is too rare."""
DIRECTORY: Final = "journal"


@attrs.frozen
class Swarm:
    """All of it."""

    seed: int
    sites: tuple[str, ...]
    commands: int
    """Of all sites together, about."""
    duration_s: float
    """How long things break, at most."""
    workload: Shape
    """Of each site."""
    network: NetworkFaults = attrs.field(factory=NetworkFaults)
    gateway_faults: MachineFaults = attrs.field(factory=MachineFaults)
    engine_faults: MachineFaults = attrs.field(factory=MachineFaults)
    incidents: tuple[str, ...] = ()
    gateway: Options = attrs.field(factory=dict)
    engine: Options = attrs.field(factory=dict)
    clock_offset_s: float = 0.0
    """Of all wall clocks, from where they begin."""
    transports: tuple[str, ...] = ()
    """What a reload changes the roads to, in turn."""

    @classmethod
    def of(cls, seed: int) -> "Swarm":
        """Of this seed, always the same."""
        rng = random.Random(f"{seed}/swarm")
        sites = ("a", "b") if rng.random() < 1 / 3 else ("a",)
        commands = rng.choice((40, 60, 100, 100, 100, 150, 250, 400))
        duration_s = rng.choice((3.0, 5.0, 5.0, 8.0, 8.0, 12.0, 20.0))
        gateway, engine = gateway_options(rng), engine_options(rng)
        synced = not {"journal.durability"} & (gateway.keys() | engine.keys())
        incidents = [name for name in INCIDENTS if synced and rng.random() < INCIDENT]
        rng.shuffle(incidents)
        # Not besides another flipped bit: nothing helps who has no good snapshot left.
        rots = rng.random() < 2 * INCIDENT
        if rots and synced and "flipped_bit" not in incidents:
            incidents.append("rotten_snapshot")
            engine["snapshot.orders"] = 10  # There have to be two.
        shape = Shape.of(
            random.Random(f"{seed}/shape"),
            commands=max(1, commands // len(sites)),
            duration_s=round(duration_s * 0.8, 1),
        )
        if random.Random(f"{seed}/lag").random() < LAGS:
            shape, gateway["executions.kept"] = shape.lagging(), 20
        return cls(
            seed=seed,
            sites=sites,
            commands=commands,
            duration_s=duration_s,
            workload=shape,
            network=network_faults(rng),
            gateway_faults=machine_faults(rng, synced="journal.durability" not in gateway),
            engine_faults=machine_faults(rng, synced="journal.durability" not in engine),
            incidents=tuple(incidents),
            gateway=gateway,
            engine=engine,
            clock_offset_s=DAY_END_S - rng.uniform(0.3, 0.8) * duration_s if "day_end" in engine else 0.0,
            transports=tuple(rng.choices(("udp-first", "udp-only", "grpc-only"), k=3)) if rng.random() < 0.3 else (),
        )

    # --- less of it ---------------------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[str, ...]:
        """Names of all that is on, for :meth:`without`."""
        names: list[str] = [f"incidents.{name}" for name in self.incidents]
        for group in ("gateway_faults", "engine_faults", "network"):
            part = getattr(self, group)
            names += [f"{group}.{field.name}" for field in attrs.fields(type(part)) if _is_fault(part, field)]
        names += [f"gateway.{key}" for key in self.gateway] + [f"engine.{key}" for key in self.engine]
        names += [name for name in ("clock_offset_s", "transports") if getattr(self, name)]
        names += [f"workload.{name}" for name in _SHARES if getattr(self.workload, name)]
        said = [name for name, weight in self.workload.weights if weight]
        names += [f"says.{name}" for name in said if len(said) > 1]
        return (*names, "site b") if len(self.sites) > 1 else tuple(names)

    def without(self, name: str) -> "Swarm":
        """The same but for one of :attr:`active`. Raises ValueError for a name that nothing has."""
        group, _, key = name.partition(".")
        if name == "site b":
            return attrs.evolve(self, sites=self.sites[:1])
        if group == "incidents":
            return attrs.evolve(self, incidents=tuple(one for one in self.incidents if one != key))
        change: dict[str, Any]
        if group in {"gateway", "engine"}:
            change = {group: {option: value for option, value in getattr(self, group).items() if option != key}}
            return attrs.evolve(self, **change)
        if name in {"clock_offset_s", "transports"}:
            change = {name: attrs.fields_dict(Swarm)[name].default}
            return attrs.evolve(self, **change)
        if group == "says":
            weights = tuple((one, 0.0 if one == key else weight) for one, weight in self.workload.weights)
            return attrs.evolve(self, workload=attrs.evolve(self.workload, weights=weights))
        if group == "workload" and key in _SHARES:
            change = {key: 0.0}
            return attrs.evolve(self, workload=attrs.evolve(self.workload, **change))
        if group in {"network", "gateway_faults", "engine_faults"}:
            part = getattr(self, group)
            field = attrs.fields_dict(type(part)).get(key)
            if field is not None:
                change = {group: attrs.evolve(part, **{key: field.default})}
                return attrs.evolve(self, **change)
        raise ValueError(f"{name!r}: there is no such thing in a swarm")

    def with_commands(self, commands: int) -> "Swarm":
        """The same with that many commands, about."""
        each = max(1, commands // len(self.sites))
        return attrs.evolve(self, commands=commands, workload=attrs.evolve(self.workload, commands=each))

    # --- as settings --------------------------------------------------------------------------------------------------

    def gateway_settings(self, site: str) -> Settings:
        """Of orderd on that host."""
        by_section = _by_section(self.gateway)
        segment_bytes = self.gateway.get("journal.segment_bytes", 262_144)
        limits = {"query_bytes_max": min(1_048_576, segment_bytes // 4), **by_section.get("limits", {})}
        return Settings(
            **by_section.get("", {}),
            listen=ListenSettings(socket=site, clients_max=64),
            limits=LimitSettings(**limits),
            executions=ExecutionSettings(**by_section.get("executions", {})),
            journal=JournalSettings(
                **{"directory": DIRECTORY, "segment_bytes": segment_bytes, **by_section.get("journal", {})}
            ),
            batch=BatchSettings(**by_section.get("batch", {})),
            engine=EngineSettings(**by_section.get("engine", {})),
            udp=UdpSettings(**by_section.get("udp", {})),
            grpc=GrpcSettings(**by_section.get("grpc", {})),
            instrument=INSTRUMENTS,
        )

    def engine_settings(self) -> SettingsOfEngine:
        """Of the engine."""
        by_section = _by_section(self.engine)
        return SettingsOfEngine(
            **by_section.get("", {}),
            journal=EngineJournalSettings(
                **{"directory": DIRECTORY, "segment_bytes": 262_144, **by_section.get("journal", {})}
            ),
            snapshot=SnapshotSettings(**by_section.get("snapshot", {})),
            limits=EngineLimitSettings(**by_section.get("limits", {})),
            instrument=INSTRUMENTS,
        )

    def __str__(self) -> str:
        """A line for each part."""
        lines = [
            f"seed {self.seed}: sites {', '.join(self.sites)}; {self.commands} commands in {self.duration_s:g} s",
            f"  network   {_shown(self.network)}",
            f"  orderd    {_shown(self.gateway_faults)}",
            f"  engine    {_shown(self.engine_faults)}",
            f"  incidents {', '.join(self.incidents) or 'none'}; clocks {self.clock_offset_s:+.1f} s",
            f"  orderd's settings: {_options(self.gateway)}; reloads {', '.join(self.transports) or 'change nothing'}",
            f"  engine's settings: {_options(self.engine)}",
            f"  {self.workload}",
        ]
        return "\n".join(lines)


_SHARES: Final = tuple(
    field.name for field in attrs.fields(Shape) if field.type is float and not field.name.endswith("_s")
)
"""Of the workload: what can be left out."""


_MEASURES: Final = {"base_s", "jitter_s", "late_max_s", "cut_mean_s", "cut_one_way", "cut_calls", "burst_mean_s"} | {
    "call_refusal_mean_s", "pause_mean_s", "quick_disk",
}  # fmt: skip
"""What says only how much, and of what. Looked up only."""


def _is_on(part: Any, field: "attrs.Attribute[Any]") -> bool:
    return bool(getattr(part, field.name) != field.default)


def _is_fault(part: Any, field: "attrs.Attribute[Any]") -> bool:
    """Whether it is on and does something by itself."""
    return _is_on(part, field) and field.name not in _MEASURES


def _shown(part: Any) -> str:
    on = []
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if isinstance(value, Trouble):
            on.append(f"disk({_shown(value)})")
        elif _is_on(part, field):
            on.append(f"{field.name}={value:.4g}" if isinstance(value, float) else f"{field.name}={value}")
    return " ".join(on) or "good"


def _options(options: Options) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items()) or "default"


def _by_section(options: Options) -> dict[str, dict[str, Any]]:
    """Dotted names taken apart; what has no section is under the empty one."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        section, _, key = name.rpartition(".")
        found.setdefault(section, {})[key] = value
    return found
