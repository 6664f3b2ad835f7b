"""Which road orders take to the engine, and when the other one is tried. Pure; a table of conditions and events.

Each road is UP or DOWN; gRPC, which is used only when UDP is in doubt, may also be UNTRIED. The state is
made of both:

========= ========== =================================================================================
UDP       gRPC       state
========= ========== =================================================================================
UP        any        UDP_ENABLED
DOWN      UP         GRPC_FALLBACK
DOWN      DOWN       ENGINE_DOWN; so is every DOWN of a road that is the only one allowed
DOWN      UNTRIED    as it was: gRPC is being asked
========= ========== =================================================================================

Hysteresis, so that a lossy road does not flap:

- UDP goes DOWN when :data:`FRAMES_IN_A_ROW` frames one after the other have used up their retransmissions without any
  answer between; one that has goes over gRPC by itself, or begins anew if gRPC is DOWN or not allowed.
- Out of GRPC_FALLBACK it comes UP after :data:`ANSWERS_MIN` probes in a row were answered; twice as many each time that
  it did not stay up for :data:`RELAPSE_S`, up to :data:`ANSWERS_MAX`. Without a fallback the first answer will do.
- gRPC goes DOWN after :data:`FAILURES_IN_A_ROW` failed calls, and is tried again with back-off.
"""

from enum import Enum
from math import inf
from typing import Final

import attrs

from orderd.wire.paths import Path

FRAMES_IN_A_ROW: Final = 3
ANSWERS_MIN: Final = 3
ANSWERS_MAX: Final = 12
RELAPSE_S: Final = 10.0
FAILURES_IN_A_ROW: Final = 2
PROBES_BEFORE_GRPC: Final = 4
"""Unanswered HELLOs over UDP at the start, before gRPC is asked as well."""
PROBES_BEFORE_DOWN: Final = 8
"""Unanswered HELLOs over UDP at the start, about a second of them, before it is told that the engine is down."""
PROBE_AGAIN_MIN_S: Final = 0.050
"""After an answered probe the next one follows, that long or two round trips later."""
GRPC_AGAIN_S: Final = 0.050
GRPC_IN_VAIN_S: Final = 0.25
"""A call that failed after so long counts as all that there may be."""
GRPC_BACK_OFF_MIN_S: Final = 0.25
GRPC_BACK_OFF_MAX_S: Final = 2.0


class TransportState(Enum):
    """As INFO and the log name it. At start it is ENGINE_DOWN."""

    UDP_ENABLED = "UDP_ENABLED"
    GRPC_FALLBACK = "GRPC_FALLBACK"
    ENGINE_DOWN = "ENGINE_DOWN"


class Transport(Enum):
    """The setting ``engine.transport``: which roads may be used."""

    UDP_FIRST = "udp-first"
    UDP_ONLY = "udp-only"
    GRPC_ONLY = "grpc-only"


class Condition(Enum):
    """What is known of a road."""

    UNTRIED = "untried"
    UP = "up"
    DOWN = "down"


@attrs.frozen
class HealthSettings:
    """Seconds. Probes of a UDP that is DOWN begin at ``probe_first`` and slow down to ``probe_interval``."""

    probe_first: float = 0.020
    probe_interval: float = 0.250


class TransportHealth:
    """Tell it what happened; it says what to use (:attr:`carrier`) and when to try what is down."""

    def __init__(self, settings: HealthSettings, transport: Transport = Transport.UDP_ONLY) -> None:
        self.settings = settings
        self.transport = transport
        self.state = TransportState.ENGINE_DOWN
        self.reason = "not connected yet"
        self.udp = Condition.DOWN
        self.grpc = Condition.UNTRIED
        self.udp_probe_at = inf if transport is Transport.GRPC_ONLY else 0.0
        self.grpc_try_at = 0.0 if transport is Transport.GRPC_ONLY else inf
        """gRPC, unless it is UP, is not to be called before. Infinite: nothing asks for it."""
        self.changes = 0
        """How often the state changed."""
        self.start_failed = False
        """The engine did not answer on any road at the start; :attr:`reason` says how."""
        self.answers_needed = ANSWERS_MIN
        self._udp_reason = "not answered yet"
        self._grpc_reason = "not tried yet"
        self._exhausted = 0
        self._answers = 0
        self._probes_unanswered = 0
        self._probe_interval = settings.probe_first
        self._up_since = -inf
        self._failures = 0
        self._back_off = GRPC_BACK_OFF_MIN_S

    @property
    def carrier(self) -> Path:
        """What new orders and polls go over; NONE while the engine is down."""
        if self.udp is Condition.UP:
            return Path.UDP
        return Path.NONE if self.state is TransportState.ENGINE_DOWN else Path.GRPC

    @property
    def grpc_allowed(self) -> bool:
        """Whether gRPC may be used at all."""
        return self.transport is not Transport.UDP_ONLY

    def allows(self, path: Path) -> bool:
        """Whether that road may be used at all."""
        return self.transport is not Transport.GRPC_ONLY if path is Path.UDP else self.grpc_allowed

    @property
    def grpc_may_carry(self) -> bool:
        """Whether gRPC is allowed, and not known to be of no use."""
        return self.grpc_allowed and self.grpc is not Condition.DOWN

    def may_call(self, now: float) -> bool:
        """Whether gRPC may be called now, if there is something to call it for."""
        return self.grpc_allowed and (now >= self.grpc_try_at or self.grpc_try_at == inf)

    @property
    def udp_is_suspect(self) -> bool:
        """Whether a frame was given up since UDP answered last."""
        return self._exhausted > 0

    # --- UDP ----------------------------------------------------------------------------------------------------------

    def probe_sent(self, now: float) -> None:
        """A HELLO went out over UDP, which is DOWN."""
        if self._probes_unanswered:
            self._answers = 0
        self._probes_unanswered += 1
        self.udp_probe_at = now + self._probe_interval
        self._probe_interval = min(self._probe_interval * 2, self.settings.probe_interval)
        asks_first = self.grpc is Condition.UNTRIED and self.grpc_try_at == inf
        if self.grpc_allowed and asks_first and self._probes_unanswered >= PROBES_BEFORE_GRPC:
            self.grpc_try_at = now
        if self._probes_unanswered >= PROBES_BEFORE_DOWN and not self.grpc_may_carry:
            told = f"; gRPC: {self._grpc_reason}" if self.grpc_allowed else ""
            self._start_failed(f"UDP: {self._udp_reason}{told}")

    def udp_answered(self, now: float, round_trip: float = 0.0, what: str = "") -> None:
        """Something came back over UDP: an acknowledgement while it is UP, the answer to the last probe while DOWN.

        ``what`` is told as the reason if it makes UDP_ENABLED.
        """
        self._exhausted = 0
        if self.udp is Condition.UP:
            if self.grpc is Condition.UP:
                # It carried single frames; what is known of it grows old.
                self._leave_grpc()
            return
        if self.transport is Transport.GRPC_ONLY:
            return
        self._answers += 1
        self._probes_unanswered = 0
        falling_back = self.state is TransportState.GRPC_FALLBACK
        if falling_back and self._answers < self.answers_needed:
            self.udp_probe_at = now + max(PROBE_AGAIN_MIN_S, 2 * round_trip)
            # On a road as slow as that the one after it would tell of a loss before the answer can be there.
            self._probe_interval = max(self.settings.probe_interval, 2 * round_trip)
            return
        if falling_back:
            what = f"UDP answered {self._answers} probes in a row, in {round_trip * 1000:.1f} ms"
        self.udp = Condition.UP
        self.udp_probe_at = inf
        self._up_since = now if falling_back else -inf
        self._answers = 0
        self._leave_grpc()
        self._settle(what or "UDP answers")

    def udp_refused(self, reason: str) -> None:
        """A HELLO over UDP was answered, but with no for now."""
        if self.udp is not Condition.UP:
            self._udp_reason = reason

    def udp_exhausted(self, frames: int, reason: str, now: float) -> None:
        """So many frames, sent over UDP, have used up their retransmissions."""
        if self.udp is not Condition.UP:
            return
        self._exhausted += frames
        self._udp_reason = reason
        if self.grpc is Condition.DOWN and now >= self.grpc_try_at:
            self.grpc = Condition.UNTRIED
        if self.grpc_allowed and self.grpc is Condition.UNTRIED:
            self.grpc_try_at = min(self.grpc_try_at, now)
        if self._exhausted < FRAMES_IN_A_ROW:
            return
        relapsed = now - self._up_since < RELAPSE_S
        self.answers_needed = min(self.answers_needed * 2, ANSWERS_MAX) if relapsed else ANSWERS_MIN
        self._udp_down(f"{reason}, {self._exhausted} frames in a row", now)
        besides = {Condition.DOWN: f"; gRPC: {self._grpc_reason}", Condition.UP: "; gRPC answers"}.get(self.grpc, "")
        self._settle(f"UDP: {self._udp_reason}{besides}")

    def _udp_down(self, reason: str, now: float) -> None:
        self.udp = Condition.DOWN
        self._udp_reason = reason
        self._exhausted = self._answers = self._probes_unanswered = 0
        self.udp_probe_at = inf if self.transport is Transport.GRPC_ONLY else now
        self._probe_interval = self.settings.probe_first

    # --- gRPC ---------------------------------------------------------------------------------------------------------

    def grpc_answered(self) -> None:
        """The engine answered a call."""
        self._failures = 0
        self._back_off = GRPC_BACK_OFF_MIN_S
        if not self.grpc_allowed:
            return
        self.grpc = Condition.UP
        self.grpc_try_at = 0.0
        self._settle(f"UDP: {self._udp_reason}; gRPC answers")

    def grpc_failed(self, reason: str, now: float, waited: float = 0.0) -> None:
        """A call failed after ``waited`` seconds, or was answered with nothing that this engine says."""
        if not self.grpc_allowed:
            return
        # One that was waited for in vain needs no second opinion; a reset may be that of a connection that grew old.
        self._failures += FAILURES_IN_A_ROW if waited >= GRPC_IN_VAIN_S else 1
        self._grpc_reason = reason
        if self._failures < FAILURES_IN_A_ROW:
            self.grpc_try_at = now + GRPC_AGAIN_S
            return
        self.grpc = Condition.DOWN
        self.grpc_try_at = now + self._back_off
        self._back_off = min(self._back_off * 2, GRPC_BACK_OFF_MAX_S)
        told = f"UDP: {self._udp_reason}; gRPC: {reason}"
        self._settle(told)
        if self.transport is Transport.GRPC_ONLY or self._probes_unanswered >= PROBES_BEFORE_DOWN:
            self._start_failed(told)

    def _leave_grpc(self) -> None:
        """UDP carries again: what was known of gRPC grows old."""
        if self.grpc is not Condition.DOWN:
            self.grpc = Condition.UNTRIED
            self.grpc_try_at = inf
        self._failures = 0

    # --- both ---------------------------------------------------------------------------------------------------------

    def change(self, transport: Transport, now: float) -> None:
        """The setting changed."""
        if transport is self.transport:
            return
        before, self.transport = self.transport, transport
        told = f"transport is {transport.value}"
        if transport is Transport.GRPC_ONLY:
            self._udp_down(told, now)
            self.grpc, self.grpc_try_at, self._failures = Condition.UNTRIED, now, 0
        elif before is Transport.GRPC_ONLY:
            # Not a relapse: it was not tried.
            self.answers_needed = ANSWERS_MIN
            self._udp_down(told, now)
        if transport is Transport.UDP_ONLY:
            self.grpc, self.grpc_try_at, self._failures = Condition.UNTRIED, inf, 0
            if self.udp is Condition.DOWN:
                self._udp_down(f"{told}, and UDP does not answer yet", now)
        self._settle(self._udp_reason)

    def _start_failed(self, reason: str) -> None:
        if self.changes == 0 and not self.start_failed:
            self.reason, self.start_failed = reason, True

    def _settle(self, reason: str) -> None:
        if self.udp is Condition.UP:
            state = TransportState.UDP_ENABLED
        elif self.grpc_allowed and self.grpc is Condition.UP:
            state = TransportState.GRPC_FALLBACK
        elif self.grpc_allowed and self.grpc is Condition.UNTRIED:
            return
        else:
            state = TransportState.ENGINE_DOWN
        if state is not self.state:
            self.state, self.reason = state, reason
            self.changes += 1
