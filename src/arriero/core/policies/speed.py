"""Speed: how fast one instance serves one unit, learned from its answers."""

from __future__ import annotations

from arriero.core.outcome import Success, Timing

FILL = 0.1
"""Each further attempt that runs slows every one by this share; simulated: 0, 0.1 and 0.5 lie within 0.01."""

KEEP = 0.9
"""Share of both sums that an answer leaves of the older ones."""

SERVICE_STEP = 0.1
"""Weight of the newest service time in its running mean."""

PREFILL_RATIO = 20.0
"""Prefill tokens/s over decode tokens/s, assumed where an answer does not tell the two apart."""

TOKEN_LEAST_S = 0.001
"""No server decodes one sequence faster; an answer that seems to came in one piece after its first byte."""

TOKEN_S = 0.05
"""Seconds a token before anything is known: 20 tokens/s, only so that there is an order."""


class Pace:
    """Speed of one unit on one instance.

    One number ``c``, the seconds a token of one attempt that runs alone; with b running a token takes
    ``c * (1 + FILL * (b - 1))``. ``c = sum(seconds / (1 + FILL * (b - 1))) / sum(output tokens)``, each
    sum decayed by ``KEEP`` at an answer.

    Args:
        token_s: ``c`` as remembered; 0 if nothing is.
        load_s: Load time of the unit as remembered.

    Attributes:
        answers: Answers learned from since the start.
        load_s: Seconds the last load took; 0 if none was seen.
        service_s: Running mean of the seconds an answer held its slot; 0 before the first.
    """

    def __init__(self, *, token_s: float = 0.0, load_s: float = 0.0) -> None:
        self.answers = 0
        self.load_s = load_s
        self.service_s = 0.0
        self._decode_s = token_s
        self._tokens = 1.0 if token_s else 0.0
        self._prefill_s = 0.0
        self._prompt_tokens = 0.0

    @property
    def known(self) -> bool:
        """Whether a speed was learned or remembered."""
        return self._tokens > 0.0

    @property
    def token_s(self) -> float:
        """Seconds an output token takes while nothing else runs there; 0 if unknown."""
        return self._decode_s / self._tokens if self._tokens > 0.0 else 0.0

    @property
    def prefill_tokens_per_s(self) -> float:
        """Prompt tokens a second as seen, prefix hits included; ``PREFILL_RATIO`` times decode before that."""
        if self._prefill_s > 0.0:
            return self._prompt_tokens / self._prefill_s
        return PREFILL_RATIO / self.seconds_per_token(1)

    def seconds_per_token(self, in_flight: float) -> float:
        """Seconds an output token takes while ``in_flight`` attempts run there (``TOKEN_S`` alone if unknown)."""
        return (self.token_s or TOKEN_S) * (1.0 + FILL * (max(in_flight, 1.0) - 1.0))

    def observe(self, outcome: Success, in_flight: float, *, parked: bool = False) -> None:
        """Learn from an answer, or from a preload (``finish_reason`` is ``load``).

        Args:
            outcome: The answer.
            in_flight: Attempts that ran beside it, itself included, at most the slots there.
            parked: It waited on the server for a slot, so its first token says nothing about prefill.
        """
        timing, usage = outcome.timing, outcome.usage
        if outcome.finish_reason == "load":
            self.load_s = timing.latency_s if timing.load_s is None else timing.load_s
            return
        prompt, output = usage.prompt_tokens or 0, usage.output_tokens or 0
        held_s = _held_s(timing)
        self.service_s += (held_s - self.service_s) * (SERVICE_STEP if self.answers else 1.0)
        self.answers += 1
        if prompt and timing.prefill_s is not None:
            self._learn_prefill(prompt, timing.prefill_s)
        elif prompt and timing.ttft_s is not None and timing.total_s is None and not parked:
            self._learn_prefill(prompt, timing.ttft_s)
        seconds, tokens = _decoding(timing, prompt, output)
        if tokens > 0.0 and seconds > 0.0:
            self._decode_s = KEEP * self._decode_s + seconds / (1.0 + FILL * (max(in_flight, 1.0) - 1.0))
            self._tokens = KEEP * self._tokens + tokens

    def _learn_prefill(self, tokens: int, seconds: float) -> None:
        self._prompt_tokens = KEEP * self._prompt_tokens + tokens
        self._prefill_s = KEEP * self._prefill_s + seconds


def _held_s(timing: Timing) -> float:
    """Seconds it held a slot: prefill and decode where the server said them, else all it took."""
    if timing.prefill_s is None and timing.decode_s is None:
        return timing.latency_s
    return (timing.prefill_s or 0.0) + (timing.decode_s or 0.0)


def _decoding(timing: Timing, prompt_tokens: int, output_tokens: int) -> tuple[float, float]:
    """Seconds and the tokens they belong to, by the best the answer offers.

    Returns:
        Ollama's own count; else the stream after its first token (vLLM's time per output token, of n - 1
        tokens); else the whole answer, its prompt counted as ``1 / PREFILL_RATIO`` token each.
    """
    if timing.decode_s is not None:
        return timing.decode_s, float(output_tokens)
    if timing.ttft_s is not None and output_tokens > 1:
        decode_s = timing.latency_s - timing.ttft_s
        if decode_s > TOKEN_LEAST_S * (output_tokens - 1):
            return decode_s, output_tokens - 1.0
    if timing.total_s is not None:
        return 0.0, 0.0  # Ollama leaves the decode time of a one-token answer out: nothing to learn
    return timing.latency_s, output_tokens + prompt_tokens / PREFILL_RATIO if output_tokens else 0.0
