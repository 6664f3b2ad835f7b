"""What the clients of a site have said and want to know, and what they say again. They share it.

In phase one, what was not answered, or not for good, is said again a few times, by whoever is there. In phase two all
that has an id is said until it has a final answer, in mode sync, so that the answer is final when it comes.
"""

import heapq
import random
from typing import Any, Final

import hiredis
import trio

from tests.simulation.intents import Intent, Kind, Said, Verdict, judge
from tests.simulation.links import TOO_BIG, Link, Misbehaviour, shown
from tests.simulation.shape import Shape
from tests.simulation.workload import Workload

TRIES_MAX: Final = 4
"""How often something is said in phase one that has an answer, but no final one."""
FULL_TRIES_MAX: Final = 8
"""How often a batch that does not fit is said in phase two: it may be larger than all the room there is."""


class Agenda:
    """Of one site. Its times are those of trio's clock."""

    def __init__(self, rng: random.Random, shape: Shape, workload: Workload, site: str) -> None:
        self.lasting: list[Intent] = []
        """All that has an id."""
        self.later: list[tuple[float, int, Intent]] = []
        """What is to be said again, and not before when; a heap."""
        self.is_finishing = False
        """Phase two has begun."""
        self._rng = rng
        self._shape = shape
        self._workload = workload
        self._site = site
        self._serial = 0

    def waiting(self) -> list[str]:
        """What has no final answer, for people."""
        return [intent.shown() for intent in self.lasting if intent.tries and not intent.done]

    def put(self, intent: Intent, delay_s: float) -> None:
        """It is to be said again, not before so many seconds from now."""
        self._serial += 1
        heapq.heappush(self.later, (trio.current_time() + delay_s, self._serial, intent))

    def due(self, now: float) -> Intent | None:
        """What is to be said again next, if it is time, without those whose answer has come meanwhile."""
        while self.later and self.later[0][0] <= now:
            intent = heapq.heappop(self.later)[2]
            if not intent.done:
                return intent
        return None

    def repeat(self, intent: Intent, rng: random.Random) -> Said:
        """A way to come to know how it is: to say it again, mostly, in phase two so that the answer is final."""
        if intent.kind is Kind.ORDER and intent.verdict in (Verdict.QUEUED, Verdict.UNKNOWN) and rng.random() < 0.5:
            if rng.random() < 0.2:
                return Said((b"ORDER.STATUS", intent.about), intent)
            return Said((b"ORDER.WAIT", intent.about, b"%d" % rng.choice((50, 500, 1000))), intent)
        if self.is_finishing and intent.is_lasting:
            return Said(intent.in_sync, intent)
        return Said(intent.words, intent)

    def heard(self, said: Said, reply: Any) -> None:
        """A command was answered. Raises :class:`Misbehaviour`."""
        if said.transaction is not None:
            answers = reply if isinstance(reply, list) else [reply] * len(said.transaction.parts)
            if len(answers) != len(said.transaction.parts):
                raise Misbehaviour(f"{self._site}: EXEC of {len(said.transaction.parts)} answers {shown(reply)}")
            for part, answer in zip(said.transaction.parts, answers, strict=True):
                self._answered(part, Said(part.words, part), answer)
        elif said.intent is not None:
            self._answered(said.intent, said, reply)

    def _answered(self, intent: Intent, said: Said, reply: Any) -> None:
        is_error = isinstance(reply, hiredis.ReplyError)
        if intent.must_fail and not is_error:
            raise Misbehaviour(f"{self._site}: {intent.shown()} is wrong, and answers {shown(reply)}")
        if intent.words[0] == b"ORDER.RESERVE":
            self._workload.reserved(intent, reply)
        intent.in_flight -= 1
        intent.last = shown(reply)
        verdict = judge(intent, said.words, reply)
        if is_error and said.words[0] != intent.words[0] and intent.verdict is not Verdict.QUEUED:
            # It was only asked about, and is not there: perhaps it never was.
            verdict = Verdict.UNKNOWN
        if verdict in (Verdict.QUEUED, Verdict.UNKNOWN):
            intent.unsure = True
        elif verdict is not Verdict.LATER or intent.must_fail or self._is_given_up(intent, reply):
            intent.done = True
        intent.verdict = Verdict.UNKNOWN if verdict is Verdict.LATER and intent.unsure else verdict
        if not intent.done:
            self._go_on(intent, verdict)

    def _is_given_up(self, intent: Intent, reply: Any) -> bool:
        """Nothing was taken, and it is not tried again."""
        if self.is_finishing:
            is_limit = str(reply).startswith("LIMIT")
            return is_limit or (intent.kind is Kind.BATCH and intent.tries > FULL_TRIES_MAX)
        return not intent.unsure and not intent.in_flight and intent.tries >= TRIES_MAX

    def _go_on(self, intent: Intent, verdict: Verdict) -> None:
        rng = self._rng
        if self.is_finishing:
            self.put(intent, 0.3 if verdict is Verdict.LATER else 0.02)
        elif verdict is Verdict.LATER:
            if intent.is_lasting and intent.tries < TRIES_MAX:
                self.put(intent, rng.expovariate(1 / 0.3))
        elif intent.tries < TRIES_MAX and rng.random() < self._shape.follows_up:
            self.put(intent, rng.expovariate(1 / 0.1))

    def look_back(self, link: Link) -> None:
        """A connection is no more: what was not answered on it is said again, or asked about."""
        blames = TOO_BIG in link.farewell
        for said in link.unanswered:
            parts: list[Intent] = said.transaction.parts if said.transaction is not None else []
            for intent in [said.intent] if said.intent is not None else parts:
                intent.in_flight -= 1
                if blames:
                    # It is the first of them, and will never be taken.
                    intent.done = True
                self._missed(intent)
            blames = False

    def _missed(self, intent: Intent) -> None:
        rng, kind = self._rng, intent.kind
        intent.unsure = True
        if intent.done:
            return
        if self.is_finishing:
            if intent.is_lasting or kind is Kind.SETTING:
                self.put(intent, 0.05)
        elif intent.is_lasting:
            # A careful client says it again, now or when all is over.
            if rng.random() < 0.8:
                self.put(intent, rng.expovariate(1 / 0.2))
        elif kind is Kind.LOOSE:
            if intent.about:
                self.put(Intent(Kind.QUERY, (b"ORDER.STATUS", intent.about), intent.about), 0.0)
            if rng.random() < 0.3:
                self.put(intent, rng.expovariate(1 / 0.2))
        elif kind is Kind.SETTING and rng.random() < 0.5:
            self.put(intent, rng.expovariate(1 / 0.2))
