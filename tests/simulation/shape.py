"""How the clients of a site behave in one seed, as plain numbers. Pure.

Shares are of 1: how likely something is each time. Most of what there is is left out in many seeds.
"""

import random
from typing import Any, Final

import attrs

_WEIGHTS: Final = {
    "new": (30.0, 1.0), "cancel": (8.0, 0.8), "replace": (9.0, 0.7), "mass": (1.5, 0.4), "batch": (7.0, 0.5),
    "multi": (4.0, 0.4), "status": (4.0, 0.6), "wait": (2.0, 0.4), "list": (1.5, 0.4), "reserve": (0.7, 0.3),
    "read": (4.0, 0.5), "subscribe": (1.0, 0.4), "book": (3.0, 0.5), "positions": (1.5, 0.4), "ping": (1.0, 0.4),
    "info": (0.5, 0.3), "other": (1.0, 0.4), "trading": (0.8, 0.25), "mode": (0.8, 0.2), "reload": (0.6, 0.2),
    "guard": (2.5, 0.3), "kill": (0.7, 0.1),
}  # fmt: skip
"""Of each kind of command: how often it is said where it is said at all, and in which share of seeds that is."""

Weights = tuple[tuple[str, float], ...]


@attrs.frozen
class Shape:
    """Of all clients of a site."""

    clients: int = 3
    commands: int = 100
    """Of all together in phase one, but for repeats."""
    duration_s: float = 8.0
    """About how long they take for that."""
    weights: Weights = tuple((name, often) for name, (often, _) in _WEIGHTS.items())

    # What orders are like.
    second_market: float = 0.2
    levels: int = 7
    lots: int = 9
    spread: float = 0.5
    """Orders that are priced as if to rest: buyers lower, sellers higher."""
    accounts: tuple[int, ...] = (0, 7, 65_535)
    number_ids: float = 0.3
    market: float = 0.12
    tif: float = 0.25
    gtd: float = 0.05
    stop: float = 0.06
    display: float = 0.08
    postonly: float = 0.08
    minqty: float = 0.06
    stp: float = 0.2
    maxage: float = 0.05
    says_mode: float = 0.4
    request_ids: float = 0.6
    batch_records: int = 20
    bad: float = 0.03

    # What connections are like.
    depth: int = 10
    """Commands said ahead of their answers."""
    resp3: float = 0.4
    outsiders: float = 0.1
    """Clients that are not root, and may not administer."""
    pieces: float = 0.2
    """Bursts that are handed over in pieces, cut anywhere."""
    hang_ups: float = 0.03
    """Bursts after which, or in which, the client hangs up."""
    half_closes: float = 0.3
    """Of the hang-ups: those that read what still comes."""
    garbage: float = 0.002
    """Bursts that end with bytes that are no command."""
    slow: float = 0.1
    """Clients that read late."""
    deaf: float = 0.05
    """Clients that do not read for seconds."""
    again: float = 0.05
    """Bursts in which something said before is said again, answered or not, by whomever."""
    follows_up: float = 0.3
    """Answers that are not final and are asked about at once."""
    nosy: float = 0.1
    """Rests that end when somebody else has said something: it is asked about, or said again, at that very moment."""
    keeps_price: float = 0.3
    """Replaces with the price that the order was placed with."""
    patience_s: float = 3.0
    """About how long silence is borne before a client connects anew."""

    @classmethod
    def of(cls, rng: random.Random, **given: Any) -> "Shape":
        """One from all there are; ``given`` are fields that somebody else decides."""

        def some(probability: float, most: float) -> float:
            return round(rng.random() * most, 3) if rng.random() < probability else 0.0

        weights = []
        for name, (often, share) in _WEIGHTS.items():
            weight = round(often * rng.choice((0.3, 1.0, 1.0, 3.0)), 2) if rng.random() < share else 0.0
            weights.append((name, weight))
        if not dict(weights)["new"] and not dict(weights)["batch"]:
            weights[0] = ("new", 30.0)
        drawn: dict[str, Any] = {
            "clients": rng.choice((1, 2, 2, 3, 3, 4, 6)),
            "commands": rng.choice((40, 80, 100, 120, 250)),
            "duration_s": rng.choice((3.0, 5.0, 8.0, 15.0)),
            "weights": tuple(weights),
            "second_market": some(0.5, 0.5),
            "levels": rng.randint(3, 9),
            "lots": rng.choice((3, 9, 9, 20)),
            "spread": some(0.6, 0.9),
            "accounts": rng.choice(((0,), (0, 7), (0, 7, 65_535))),
            "number_ids": some(0.6, 1.0),
            "market": some(0.5, 0.3),
            "tif": some(0.6, 0.8),
            "gtd": some(0.3, 0.3),
            "stop": some(0.3, 0.3),
            "display": some(0.3, 0.4),
            "postonly": some(0.3, 0.4),
            "minqty": some(0.3, 0.3),
            "stp": some(0.4, 1.0),
            "maxage": some(0.3, 0.3),
            "says_mode": some(0.7, 1.0),
            "request_ids": rng.choice((0.0, 0.5, 0.8, 1.0)),
            "batch_records": rng.choice((2, 8, 20, 60)),
            "bad": some(0.6, 0.1),
            "depth": rng.choice((1, 1, 3, 8, 20, 40)),
            "resp3": rng.choice((0.0, 0.3, 1.0)),
            "outsiders": some(0.2, 0.5),
            "pieces": some(0.5, 0.8),
            "hang_ups": some(0.5, 0.15),
            "half_closes": some(0.5, 0.8),
            "garbage": some(0.1, 0.02),
            "slow": some(0.3, 0.6),
            "deaf": some(0.15, 0.4),
            "again": some(0.6, 0.2),
            "follows_up": some(0.6, 1.0),
            "patience_s": rng.choice((0.3, 1.0, 3.0, 8.0)),
            "nosy": some(0.5, 1.0),
            "keeps_price": some(0.6, 0.8),
        }
        return cls(**{**drawn, **given})

    def lagging(self) -> "Shape":
        """The same with subscribers that do not read for seconds."""
        weights = tuple((name, 6.0 if name == "subscribe" else weight) for name, weight in self.weights)
        return attrs.evolve(self, weights=weights, resp3=1.0, deaf=0.5)

    def weighs(self, name: str) -> bool:
        """Whether commands of that kind are said."""
        return bool(dict(self.weights).get(name))

    def __str__(self) -> str:
        """One line."""
        said = [f"{name}={weight:g}" for name, weight in self.weights if weight]
        plain = [
            f"{field.name}={getattr(self, field.name)}"
            for field in attrs.fields(Shape)
            if field.name != "weights" and getattr(self, field.name) not in (0, 0.0)
        ]
        return f"clients {' '.join(plain)}; says {' '.join(said)}"
