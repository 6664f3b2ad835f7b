"""From what a probing saw to what is wrong, in one line that says what to do. Pure.

An engine never answers a frame whose tag does not fit, so silence alone may be a filter, an engine that is down, or
another key. What gRPC tells beside it decides: whether a probe is answered on that road, and how many came over UDP.
"""

from enum import Enum
from typing import Final

import attrs

from orderd.ctl.probe.series import Summary
from orderd.ctl.probe.sizes import Sizes
from orderd.wire.frames import DATAGRAM_BYTES_MIN, VERSION

LOSS_MAX: Final = 0.01
"""Share of the paced probes that may be lost; a burst may lose more, since nobody paces it."""


class Fault(Enum):
    """What is wrong with the road; the value is shown."""

    GOOD = "good"
    CLOSED = "closed"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no-answer"
    BLOCKED = "blocked"
    BLOCKED_TO_ENGINE = "blocked-to-engine"
    BLOCKED_TO_ORDERD = "blocked-to-orderd"
    WRONG_KEY = "wrong-key"
    WRONG_VERSION = "wrong-version"
    DAMAGED = "damaged"
    FOREIGN = "foreign"
    MTU = "mtu"
    LOSS = "loss"


class GrpcState(Enum):
    """What gRPC says of the engine."""

    NOT_ASKED = "not asked"
    DOWN = "down"
    UP = "up"


@attrs.frozen
class EngineCounters:
    """Frames that the engine dropped since its start, by the cause."""

    tag: int = 0
    shape: int = 0
    version: int = 0


@attrs.frozen
class GrpcSight:
    """One look at the engine over gRPC: a probe on that road, and its counters if it shows them."""

    state: GrpcState = GrpcState.NOT_ASKED
    reason: str = ""
    """Of DOWN."""
    engine: str = ""
    boot: int = 0
    key_fits: bool | None = None
    """Whether it answered a probe there; None if it takes none there."""
    version: int | None = None
    """Its version of the protocol, if it told."""
    probes: int | None = None
    """Probes that came to it over UDP since its start."""
    counters: EngineCounters | None = None


@attrs.frozen
class Contact:
    """The first small probes: how many, and what came back instead of answers."""

    sent: int
    answered: int = 0
    refused: int = 0
    """Told by ICMP that nobody listens there."""
    unreachable: str = ""
    """Why the system could not send, or who told that there is no way."""
    version: int | None = None
    """The engine's, if it refused ours."""
    echoed: int = 0
    damaged: int = 0
    foreign: int = 0


@attrs.frozen
class Observations:
    """All that a probing saw; what it did not come to is None."""

    udp: str
    grpc: str
    """Addresses, as shown; empty if there is none."""
    keyed: bool
    contact: Contact
    before: GrpcSight = GrpcSight()
    after: GrpcSight = GrpcSight()
    sizes: Sizes | None = None
    paced: Summary | None = None
    burst: Summary | None = None


@attrs.frozen
class Diagnosis:
    """``line`` says what was found and what to do about it."""

    fault: Fault
    line: str


def diagnose(seen: Observations) -> Diagnosis:
    """The first thing that is wrong, from the nearest to the farthest."""
    contact = seen.contact
    if contact.answered:
        return _of_answers(seen)
    if contact.version is not None:
        return _other_version(contact.version)
    if contact.foreign or contact.echoed or contact.damaged:
        return _of_strange_answers(seen)
    if contact.refused:
        beside = {
            GrpcState.DOWN: f" (gRPC neither: {seen.before.reason}); start it, or correct engine.udp",
            GrpcState.NOT_ASKED: "; start the engine, or correct engine.udp",
        }.get(
            seen.before.state,
            f", though the engine is up over gRPC at {seen.grpc}; engine.udp must be its listen.udp",
        )
        return Diagnosis(Fault.CLOSED, f"nothing listens on UDP at {seen.udp}{beside}")
    if contact.unreachable:
        line = f"no way to {seen.udp}: {contact.unreachable}; look at routes and at this machine's packet filter"
        return Diagnosis(Fault.UNREACHABLE, line)
    return _of_silence(seen)


# --- nothing came back ------------------------------------------------------------------------------------------------


def _of_silence(seen: Observations) -> Diagnosis:
    before, after = seen.before, seen.after
    if GrpcState.DOWN in (before.state, after.state):
        reason = before.reason or after.reason
        line = (
            f"no answer from {seen.udp}, and none over gRPC either ({reason}): the engine is down, or its machine is "
            "cut off; start it, or correct engine.udp and engine.grpc"
        )
        return Diagnosis(Fault.NO_ANSWER, line)
    if before.state is GrpcState.NOT_ASKED:
        line = (
            f"no answer from {seen.udp}: blocked, engine down, or another key (an engine never answers a frame whose "
            "tag does not fit); look at packet filters, at the engine and at both key_file, or give --grpc to know more"
        )
        return Diagnosis(Fault.NO_ANSWER, line)
    return _of_sights(seen, before, after)


def _of_sights(seen: Observations, before: GrpcSight, after: GrpcSight) -> Diagnosis:
    """The engine is up over gRPC both times."""
    if after.version not in (None, VERSION):
        return _other_version(after.version or 0)
    same_start = (before.engine, before.boot) == (after.engine, after.boot)
    arrived = _arrived(before, after) if same_start else None
    dropped = _dropped(before, after) if same_start else EngineCounters()
    # Others may speak to the engine too: what is less than half of ours may be theirs.
    many = max(1, seen.contact.sent // 2)
    if arrived:
        line = (
            f"UDP is blocked from the engine to here: it received and answered {arrived} of {seen.contact.sent} "
            f"probes, and no answer came; let UDP from {seen.udp} through the packet filters on the way back"
        )
        return Diagnosis(Fault.BLOCKED_TO_ORDERD, line)
    if dropped.shape + dropped.version >= many or (after.key_fits and dropped.tag >= many):
        line = (
            f"the engine received the probes and dropped {dropped.tag + dropped.shape + dropped.version} frames as "
            "damaged or none of its protocol: it does not know probes, or something rewrites packets on the way; "
            "compare the versions of orderd and engine"
        )
        return Diagnosis(Fault.DAMAGED, line)
    if after.key_fits is False or (after.key_fits is None and dropped.tag >= many):
        why = "the key given here is not the engine's" if seen.keyed else "the engine has a key, and none is given here"
        line = (
            f"{why}: it is up, and drops what is made with another key without an answer; both ends' key_file must "
            "hold the same key"
        )
        return Diagnosis(Fault.WRONG_KEY, line)
    if arrived == 0:
        line = (
            f"the engine is up over gRPC, but no UDP from here reaches it: blocked on the way to {seen.udp}, or that "
            "is not its listen.udp; let UDP to that port through the packet filters"
        )
        return Diagnosis(Fault.BLOCKED_TO_ENGINE, line)
    why = "it does not tell what it has received" if same_start else "it was started again meanwhile"
    key = "" if after.key_fits else ", or its key is another"
    line = (
        f"the engine is up over gRPC, UDP to {seen.udp} is blocked in at least one direction{key}; which, is not "
        f"known, as {why}; look at packet filters{' and at both key_file' if key else ', and try again'}"
    )
    return Diagnosis(Fault.BLOCKED, line)


def _arrived(before: GrpcSight, after: GrpcSight) -> int | None:
    if before.probes is None or after.probes is None:
        return None
    return after.probes - before.probes


def _dropped(before: GrpcSight, after: GrpcSight) -> EngineCounters:
    first, last = before.counters, after.counters
    if first is None or last is None:
        return EngineCounters()
    return EngineCounters(last.tag - first.tag, last.shape - first.shape, last.version - first.version)


# --- something came back ----------------------------------------------------------------------------------------------


def _other_version(version: int) -> Diagnosis:
    line = (
        f"the engine speaks version {version} of the protocol, this is version {VERSION}; "
        f"update the {'engine' if version < VERSION else 'side of orderd'}"
    )
    return Diagnosis(Fault.WRONG_VERSION, line)


def _of_strange_answers(seen: Observations) -> Diagnosis:
    contact = seen.contact
    if contact.damaged > contact.foreign + contact.echoed:
        line = (
            f"what comes back from {seen.udp} are frames whose tags do not fit: damaged on the way, or made with "
            "another key; compare both ends' key_file, and look at what rewrites packets between them"
        )
        return Diagnosis(Fault.DAMAGED, line)
    what = "sends back what it is sent" if contact.echoed > contact.foreign else "answers with something else"
    line = f"no engine at {seen.udp}: what is there {what}; correct engine.udp, or what forwards that port"
    return Diagnosis(Fault.FOREIGN, line)


def _of_answers(seen: Observations) -> Diagnosis:
    sizes, paced = seen.sizes, seen.paced
    if sizes is not None and sizes.usable < sizes.wanted:
        return _too_large(sizes)
    if paced is not None and paced.loss > LOSS_MAX:
        line = (
            f"{paced.lost} of {paced.sent} probes were lost ({paced.loss:.1%}), more than {LOSS_MAX:.0%}: orders get "
            "through, but late, by retransmission; look at links and queues on the way, and at the engine's load"
        )
        return Diagnosis(Fault.LOSS, line)
    told = "UDP to the engine works"
    if paced is not None and paced.round_trip_us:
        told += f": {paced.answered} of {paced.sent} answered, round trip p50 {paced.round_trip_us['p50']:.0f} us"
    if sizes is not None:
        told += f", {sizes.usable} bytes fit both ways"
    return Diagnosis(Fault.GOOD, told)


def _too_large(sizes: Sizes) -> Diagnosis:
    if sizes.to_engine < sizes.wanted:
        way = "to the engine" if sizes.to_orderd >= sizes.to_engine else "between here and the engine"
    else:
        way = "from the engine to here"
    cause = f" (this machine knows a path MTU of {sizes.path_mtu})" if sizes.refused_here else ""
    found = (
        f"datagrams of {sizes.wanted} bytes do not get through {way}, those of up to {sizes.usable} do{cause}; "
        "small ones hide it"
    )
    if sizes.usable >= DATAGRAM_BYTES_MIN:
        advice = f"set udp.datagram_bytes_max = {sizes.usable}, or raise the MTU of the path"
    else:
        advice = f"raise the MTU of the path, as udp.datagram_bytes_max can be no less than {DATAGRAM_BYTES_MIN}"
    return Diagnosis(Fault.MTU, f"{found}: {advice}")
