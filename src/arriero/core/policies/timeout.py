"""Timeout: how long an attempt may take, to its first byte, between bytes and in all."""

from __future__ import annotations

from typing import Literal

from arriero.core.policies.lengths import Estimate
from arriero.core.policies.speed import Pace
from arriero.core.request import Timeouts

FLOOR_S = 30.0
"""No predicted bound is shorter (``docs/decisions/0009-policies.md``)."""

UNKNOWN_S = 600.0
"""First byte until ``ANSWERS`` answers, and always behind a gateway: a cold load of a big model took 190 s."""

ANSWERS = 20
"""Answers of the unit there before its speed is trusted (``docs/decisions/0009-policies.md``)."""

SLACK = 3.0
"""Factor on every predicted wait; simulated with pick, where no healthy attempt was ended."""

IDLE_TOKENS = 100.0
"""Silence of so many tokens' time is a stall; servers send each token as a chunk of its own."""

IDLE_UNKNOWN_S = 120.0
"""Silence before the speed is known: a neighbour's prompt of 2,814 tokens held an old Ollama on CPUs for 17 s."""

TOKEN_UNKNOWN_S = 2.0
"""Seconds a token before the speed is known, for the total only: slower than a 70B model on CPUs (inferred)."""


class TimeoutPolicy:
    """Timeouts by a rule.

    Args:
        kind: ``predicted``, ``fixed`` (``base_s``) or ``length`` (``base_s + per_char_s * characters``).
        base_s: Seconds.
        per_char_s: Seconds a character of the prompt.
    """

    def __init__(
        self,
        kind: Literal["predicted", "fixed", "length"] = "predicted",
        base_s: float = 0.0,
        per_char_s: float = 0.0,
    ) -> None:
        self.kind = kind
        self.base_s = base_s
        self.per_char_s = per_char_s

    def timeouts(
        self,
        *,
        size_chars: int,
        request_timeout_s: float | None,
        estimate: Estimate,
        pace: Pace,
        parked: int,
        gateway: bool,
        in_flight: int = 1,
        stream: bool = True,
        timed_out: int = 0,
    ) -> Timeouts:
        """Bounds for one attempt, in seconds from its own start.

        Args:
            size_chars: Characters the model reads.
            request_timeout_s: What the row itself asks for; goes before the rule.
            estimate: Predicted tokens.
            pace: Speed of the unit there, and how long it takes to load: others may have pushed it out.
            parked: Attempts of ours that wait on the server for a slot, this one included.
            gateway: It hides other servers, so neither queue nor load can be foreseen.
            in_flight: Attempts that run there at most beside one another.
            stream: Whether the answer comes in pieces; if not, its first byte is its last.
            timed_out: Earlier attempts of this request that timed out: each doubles the predicted bounds,
                so that a request that is truly long is not ended for ever.

        Returns:
            The bounds; an explicit one bounds first byte and silence too.
        """
        explicit_s = self._explicit_s(size_chars, request_timeout_s)
        if explicit_s is not None:
            return Timeouts(first_byte_s=explicit_s, idle_s=explicit_s, total_s=explicit_s)
        if not pace.known or pace.answers < ANSWERS:
            first_s, idle_s = UNKNOWN_S, IDLE_UNKNOWN_S
            decode_s = max(UNKNOWN_S, TOKEN_UNKNOWN_S * estimate.q999_tokens)
        else:
            first_s, idle_s, decode_s = _predicted(estimate, pace, parked, in_flight)
            first_s = max(first_s, UNKNOWN_S) if gateway else first_s
        longer = 2.0 ** min(timed_out, 16)
        total_s = (first_s + decode_s) * longer
        return Timeouts(
            first_byte_s=first_s * longer if stream else total_s,
            idle_s=idle_s * longer,
            total_s=total_s,
        )

    def _explicit_s(self, size_chars: int, request_timeout_s: float | None) -> float | None:
        if request_timeout_s is not None:
            return request_timeout_s
        if self.kind == "predicted":
            return None
        return self.base_s + (self.per_char_s * size_chars if self.kind == "length" else 0.0)


def _predicted(estimate: Estimate, pace: Pace, parked: int, in_flight: int) -> tuple[float, float, float]:
    """First byte, silence and decode by what is known of the instance.

    Before the first byte stand the load, the prompts of all that are sent at once (servers read them one
    after another) and, if it is parked, whole answers. A neighbour's prompt also silences a stream.
    """
    token_s = pace.seconds_per_token(in_flight)
    prefill_s = estimate.prompt_tokens / pace.prefill_tokens_per_s
    decode_s = SLACK * estimate.q999_tokens * token_s
    ahead_s = parked * (prefill_s + max(pace.service_s, estimate.q999_tokens * token_s))
    first_s = FLOOR_S + SLACK * (pace.load_s + max(in_flight, 1) * prefill_s + ahead_s)
    return first_s, max(FLOOR_S, IDLE_TOKENS * token_s, SLACK * prefill_s), max(FLOOR_S, decode_s)
