"""What was seen, and what it is called: a table, one row for each thing that can be wrong with the road."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.probe.diagnosis import (
    Contact,
    EngineCounters,
    Fault,
    GrpcSight,
    GrpcState,
    Observations,
    diagnose,
)
from orderd.ctl.probe.series import Summary
from orderd.ctl.probe.sizes import Sizes
from orderd.wire.frames import VERSION

SILENT = Contact(sent=10)
ANSWERED = Contact(sent=1, answered=1)
DOWN = GrpcSight(GrpcState.DOWN, "127.0.0.1:5: Connection refused")
UP = GrpcSight(GrpcState.UP)
ENGINE = GrpcSight(GrpcState.UP, engine="ab", boot=1)


def keyed(probes: int, key_fits: bool | None = True, **more: Any) -> GrpcSight:
    """What a probe over gRPC tells."""
    return attrs.evolve(ENGINE, key_fits=key_fits, probes=probes if key_fits is not False else None, **more)


def counted(probes: int = 0, *, key_fits: bool | None = None, boot: int = 1, **counters: int) -> GrpcSight:
    """What the engine's counters tell."""
    return attrs.evolve(ENGINE, boot=boot, key_fits=key_fits, probes=probes, counters=EngineCounters(**counters))


def silence(before: GrpcSight, after: GrpcSight, **more: Any) -> Observations:
    return Observations("e:9001", "e:50051", True, SILENT, before, after, **more)


def contact(**values: Any) -> Observations:
    return Observations("e:9001", "", True, Contact(**{"sent": 3, **values}))


def answered(sizes: Sizes | None = None, paced: Summary | None = None) -> Observations:
    return Observations("e:9001", "", True, ANSWERED, sizes=sizes, paced=paced)


def paced(sent: int, lost: int) -> Summary:
    return Summary(sent, sent - lost, 1472, round_trip_us={"p50": 85.4})


FITS = Sizes(1472, 1472, 1472, 1500)

TABLE = [
    # Nothing comes back.
    (silence(GrpcSight(), GrpcSight()), Fault.NO_ANSWER, "blocked, engine down, or another key (an engine never"),
    (silence(DOWN, DOWN), Fault.NO_ANSWER, "none over gRPC either (127.0.0.1:5: Connection refused)"),
    (silence(counted(), DOWN), Fault.NO_ANSWER, "none over gRPC either"),
    (silence(UP, UP), Fault.BLOCKED, "up over gRPC, UDP to e:9001 is blocked in at least one direction, or its key"),
    (silence(keyed(5), keyed(5, boot=2)), Fault.BLOCKED, "which, is not known, as it was started again meanwhile"),
    (silence(keyed(5), keyed(5)), Fault.BLOCKED_TO_ENGINE, "no UDP from here reaches it"),
    (silence(keyed(5), keyed(9)), Fault.BLOCKED_TO_ORDERD, "answered 4 of 10 probes"),
    (silence(keyed(0, False), keyed(0, False)), Fault.WRONG_KEY, "the key given here is not the engine's"),
    (silence(keyed(0, version=1), keyed(0, version=7)), Fault.WRONG_VERSION, "speaks version 7"),
    (silence(counted(), counted()), Fault.BLOCKED_TO_ENGINE, "no UDP from here reaches it"),
    (silence(counted(), counted(10)), Fault.BLOCKED_TO_ORDERD, "answered 10 of 10 probes"),
    (silence(counted(tag=7), counted(tag=17)), Fault.WRONG_KEY, "the key given here is not the engine's"),
    (silence(counted(), counted(tag=4)), Fault.BLOCKED_TO_ENGINE, "no UDP from here reaches it"),
    (silence(counted(), counted(shape=10)), Fault.DAMAGED, "dropped 10 frames as damaged or none of its protocol"),
    (silence(counted(), counted(version=10)), Fault.DAMAGED, "compare the versions"),
    (silence(counted(), counted(key_fits=False, shape=11)), Fault.DAMAGED, "it does not know probes"),
    (silence(counted(), counted(key_fits=False, tag=11)), Fault.WRONG_KEY, "drops what is made with another key"),
    (silence(counted(), counted(key_fits=True, tag=10)), Fault.DAMAGED, "something rewrites packets on the way"),
    # Something else comes back.
    (contact(version=99), Fault.WRONG_VERSION, f"version 99 of the protocol, this is version {VERSION}"),
    (contact(version=0), Fault.WRONG_VERSION, "; update the engine"),
    (contact(refused=3), Fault.CLOSED, "nothing listens on UDP at e:9001; start the engine"),
    (contact(unreachable="Network is unreachable"), Fault.UNREACHABLE, "no way to e:9001: Network is unreachable"),
    (contact(foreign=3), Fault.FOREIGN, "no engine at e:9001: what is there answers with something else"),
    (contact(echoed=3), Fault.FOREIGN, "sends back what it is sent"),
    (contact(damaged=3), Fault.DAMAGED, "tags do not fit: damaged on the way, or made with another key"),
    (contact(foreign=1, refused=2), Fault.FOREIGN, "answers with something else"),
    # Answers.
    (answered(), Fault.GOOD, "UDP to the engine works"),
    (answered(FITS, paced(200, 0)), Fault.GOOD, "200 of 200 answered, round trip p50 85 us, 1472 bytes fit both ways"),
    (answered(FITS, paced(200, 2)), Fault.GOOD, "198 of 200 answered"),
    (answered(FITS, paced(200, 3)), Fault.LOSS, "3 of 200 probes were lost (1.5%), more than 1%"),
    (answered(Sizes(1472, 1000, 1000, 1500)), Fault.MTU, "set udp.datagram_bytes_max = 1000"),
    (answered(Sizes(1472, 1000, 900, 1500)), Fault.MTU, "set udp.datagram_bytes_max = 900"),
    (answered(Sizes(1472, 1472, 900, 1500)), Fault.MTU, "do not get through from the engine to here"),
    (answered(Sizes(1472, 1372, 1372, 1400, True)), Fault.MTU, "this machine knows a path MTU of 1400"),
    (answered(Sizes(1472, 400, 400, 1500)), Fault.MTU, "can be no less than 512"),
    (answered(Sizes(1472, 1000, 1000, 1500), paced(200, 100)), Fault.MTU, "small ones hide it"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "fault", "words"), TABLE)
def test_each_fault_is_named_in_one_line_that_says_what_to_do(seen: Observations, fault: Fault, words: str) -> None:
    diagnosis = diagnose(seen)
    assert diagnosis.fault is fault
    assert words in diagnosis.line
    assert "\n" not in diagnosis.line


def test_every_fault_is_in_the_table() -> None:
    assert {fault for _, fault, _ in TABLE} == set(Fault)


@pytest.mark.parametrize(
    ("before", "words"), [(DOWN, "gRPC neither: 127.0.0.1:5"), (ENGINE, "though the engine is up over gRPC at g:5")]
)
def test_a_closed_port_is_told_with_what_grpc_says(before: GrpcSight, words: str) -> None:
    seen = attrs.evolve(contact(refused=3), before=before, after=before, grpc="g:5")
    assert words in diagnose(seen).line


def test_a_probing_without_a_key_says_so() -> None:
    seen = attrs.evolve(silence(counted(), counted(tag=10)), keyed=False)
    assert "the engine has a key, and none is given here" in diagnose(seen).line


COUNT = st.integers(0, 20)
SIGHT = st.sampled_from([GrpcSight(), DOWN, UP]) | st.builds(
    GrpcSight, st.just(GrpcState.UP), st.just(""), st.sampled_from(["", "ab"]), st.integers(0, 2),
    st.sampled_from([None, True, False]), st.none() | COUNT, st.none() | COUNT,
    st.none() | st.builds(EngineCounters, COUNT, COUNT, COUNT),
)  # fmt: skip
CONTACT = st.builds(
    Contact, st.just(10), COUNT, COUNT, st.sampled_from(["", "x"]), st.none() | COUNT, COUNT, COUNT, COUNT
)


@given(CONTACT, SIGHT, SIGHT)
def test_only_a_road_that_answered_is_good(contact: Contact, before: GrpcSight, after: GrpcSight) -> None:
    diagnosis = diagnose(Observations("u", "g", False, contact, before, after))
    assert (diagnosis.fault is Fault.GOOD) == (contact.answered > 0)
    assert diagnosis.line
