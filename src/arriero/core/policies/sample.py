"""Sample: what a limit learns from the end of one attempt."""

from __future__ import annotations

from typing import Literal

import msgspec

from arriero.core.outcome import Failure, FailureKind, Outcome, Success


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One end; seconds of one clock, None where unknown.

    Attributes:
        kind: ``failed`` has nothing to teach: every failure but overload, and what generated no answer.
        latency_s: Sending to last byte.
        prompt_tokens: As the server counted.
        output_tokens: As the server counted.
        ttft_s: Sending to first token; where the engine told no first token, this may still be known.
        prefill_s: Ollama ``prompt_eval_duration``.
        decode_s: Ollama ``eval_duration``.
        total_s: Ollama ``total_duration``.
        retry_after_s: What an overloaded server asked for.
    """

    kind: Literal["success", "overloaded", "failed"]
    latency_s: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    ttft_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None
    retry_after_s: float | None = None

    @property
    def held_s(self) -> float | None:
        """Seconds it held its slot by the server's own fields; None where it has none.

        Source:
            Ollama leaves a field of value 0 out, so one of the two is enough.
        """
        if self.prefill_s is None and self.decode_s is None:
            return None
        return (self.prefill_s or 0.0) + (self.decode_s or 0.0)


def sample(outcome: Outcome) -> Sample:
    """What a limit learns from an outcome."""
    if isinstance(outcome, Success):
        timing, usage = outcome.timing, outcome.usage
        if outcome.finish_reason in ("load", "unload"):
            return Sample("failed", timing.latency_s)
        return Sample(
            "success",
            timing.latency_s,
            usage.prompt_tokens,
            usage.output_tokens,
            timing.ttft_s,
            timing.prefill_s,
            timing.decode_s,
            timing.total_s,
        )
    if isinstance(outcome, Failure) and outcome.kind is FailureKind.OVERLOADED:
        return Sample("overloaded", outcome.latency_s, retry_after_s=outcome.retry_after_s)
    return Sample("failed", outcome.latency_s)
