"""How much the UDP sender takes in one wake-up: honest frames in small portions, forged ones in larger ones."""

from typing import Any

import pytest

from orderd.dispatch.udp_sender import DATAGRAMS_AT_ONCE, LOOKS_MAX, UdpSender

FORGED = b"forged"


class Arrived:
    """A socket at which everything is there already."""

    def __init__(self, datagrams: list[bytes]) -> None:
        self.datagrams = datagrams

    async def wait_readable(self) -> None:
        raise AssertionError("not waited for here")

    def receive(self, limit: int = 64) -> list[tuple[bytes, Any]]:
        found, self.datagrams = self.datagrams[:limit], self.datagrams[limit:]
        return [(datagram, None) for datagram in found]

    def send(self, datagram: bytes, address: Any = None) -> bool:
        return True

    def close(self) -> None: ...


def one_wake_up(datagrams: list[bytes]) -> tuple[list[bytes], UdpSender]:
    """What it hands on."""
    taken: list[bytes] = []

    def received(some: list[bytes]) -> None:
        taken.extend(some)
        sender.counters.rejected += some.count(FORGED)

    sender = UdpSender(Arrived(datagrams), received)
    sender.receive()
    assert sender.counters.received == len(taken)
    return taken, sender


def test_honest_datagrams_leave_others_their_turn() -> None:
    assert len(one_wake_up([b"honest"] * 100)[0]) == DATAGRAMS_AT_ONCE


@pytest.mark.parametrize("forged", [0, 1, 16, 40, 47, 48])
def test_an_honest_datagram_behind_forged_ones_is_taken_in_the_same_wake_up(forged: int) -> None:
    taken, _ = one_wake_up([FORGED] * forged + [b"honest"])
    assert taken[-1] == b"honest"


def test_a_flood_is_taken_in_portions() -> None:
    taken, sender = one_wake_up([FORGED] * 1000)
    assert len(taken) == DATAGRAMS_AT_ONCE * LOOKS_MAX == sender.counters.rejected
