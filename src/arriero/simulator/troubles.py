"""Troubles: what is wrong with a simulated server now, and how it refuses because of that."""

from __future__ import annotations

from collections import Counter
from random import Random

from msgspec import structs

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.simulator.exchange import Exchange

MOVED = 0.3
"""Share of the refusals of a locked server that point elsewhere instead."""

FORMLESS = 0.5
"""Share of the answers without form to a request that gets such ones."""


class Troubles:
    """What is wrong with one server.

    Attributes:
        down: It refuses connections.
        stopped: Its model process stands still; listings answer.
        garbage: It answers every generation at once with nonsense (a black hole).
        error_share: Share of generations that it refuses with an error.
        storm: It says it is overloaded.
        retry_after_s: What it asks for while it storms; None if it does not say.
        locked: It wants a key that we do not have.
        confused: The counts and durations in its answers are absent, nothing or absurd.
        failing_loads: Loads that will still fail.
        struck: Counts each trouble that a request has met; shared by the world.
    """

    def __init__(self, random: Random, struck: Counter[str]) -> None:
        self.down = False
        self.stopped = False
        self.garbage = False
        self.error_share = 0.0
        self.storm = False
        self.retry_after_s: float | None = None
        self.locked = False
        self.confused = False
        self.failing_loads = 0
        self.struck = struck
        self._random = random

    def refusal(self, exchange: Exchange) -> Failure | None:
        """How the exchange is refused at the door; None if it is let in."""
        if self.down:
            return self._refused("down", FailureKind.UNREACHABLE, None)
        if self.locked:
            moved = self._random.random() < MOVED
            return self._refused("locked", FailureKind.REDIRECTED if moved else FailureKind.UNAUTHORIZED, None)
        if exchange.attempt.purpose in ("discover", "unload"):
            return None
        return self._no_answer()

    def _no_answer(self) -> Failure | None:
        """How a generation is refused."""
        if self.storm:
            self.struck["storm" if self.retry_after_s is None else "storm with retry-after"] += 1
            return Failure(kind=FailureKind.OVERLOADED, status=503, retry_after_s=self.retry_after_s)
        if self.garbage:
            return self._refused("garbage", FailureKind.BAD_REPLY, 200)
        if self.error_share and self._random.random() < self.error_share:
            return self._refused("errors", FailureKind.SERVER_ERROR, 500)
        return None

    def flaw(self, exchange: Exchange) -> Failure | None:
        """What is wrong with the answer to a request of this kind, wherever it is sent."""
        if exchange.attempt.request is None:
            return None
        if exchange.truth.formless and self._random.random() < FORMLESS:
            return self._refused("formless", FailureKind.INVALID_OUTPUT, 200)
        if exchange.truth.refused:
            return self._refused("refused", FailureKind.REJECTED, 400)
        if exchange.truth.repeats:
            self.struck["repeats"] += 1
            return Failure(kind=FailureKind.BAD_REPLY, status=200, repeated=True)
        return None

    def figures(self, success: Success) -> Success:
        """The answer with the figures that the server puts into it; a backend lets no negative one through."""
        if not self.confused:
            return success
        self.struck["odd figures"] += 1
        count, duration_s = self._random.choice((None, 0, 1)), self._random.choice((None, 0.0, 1e6))
        timing = Timing(latency_s=0.0, load_s=duration_s, prefill_s=duration_s, decode_s=duration_s, total_s=duration_s)
        return structs.replace(success, usage=Usage(count, count), timing=timing)

    def load_fails(self) -> bool:
        """Whether the load that is due now fails."""
        if self.failing_loads:
            self.failing_loads -= 1
            self.struck["load fails"] += 1
            return True
        return False

    def _refused(self, trouble: str, kind: FailureKind, status: int | None) -> Failure:
        self.struck[trouble] += 1
        return Failure(kind=kind, status=status, detail=trouble)
