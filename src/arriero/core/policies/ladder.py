"""Ladder: a limit by throughput, for servers whose answers are too short or too lumpy to be seen overlapping."""

from __future__ import annotations

from arriero.core.policies.sample import Sample

# Constants as simulated for the limit: 0.93 of the best fixed limit with one-token answers on 32 slots,
# 0.96 behind a proxy that buffers streams, where the overlap alone stays at 2.

UNSEEN_S = 0.05
"""Answers shown for less than this from first to last token cannot be seen to overlap."""

BRIEF_TOKENS = 16.0
"""Nor can answers of fewer tokens."""

RUNG = 8
"""Lowest rung."""

GAIN = 1.1
"""A rung is worth its doubling if throughput grows by this factor."""

REST_EPOCHS = 20
"""Epochs to rest on the lower rung before the next try."""

EPOCH_LEAST = 16
"""Ends an epoch at least; three for each place of the rung."""

STEP = 0.1
"""Weight of the newest answer in the running means."""


class Ladder:
    """Doubles the rung while tokens/s grow, falls back by half when they do not, rests, tries again.

    Attributes:
        rung: Attempts in flight it asks for.
    """

    def __init__(self) -> None:
        self.rung = RUNG
        self._shown_s: float | None = None
        self._output_tokens: float | None = None
        self._best = 0.0
        self._rest = 0
        self._ends = 0
        self._tokens = 0
        self._since: float | None = None

    @property
    def needed(self) -> bool:
        """Whether answers come in one piece, or are too short to overlap."""
        return (self._shown_s is not None and self._shown_s < UNSEEN_S) or (
            self._output_tokens is not None and self._output_tokens < BRIEF_TOKENS
        )

    def told(self, now: float, sample: Sample, *, shown_s: float, busy: bool) -> None:
        """Learn of an answer.

        Args:
            now: Monotonic seconds.
            sample: The end.
            shown_s: Seconds from its first to its last token, as seen.
            busy: It was sent while at least half the limit was in flight, so it tells about the rung.
        """
        self._shown_s = _mean(self._shown_s, shown_s)
        if sample.output_tokens is not None:
            self._output_tokens = _mean(self._output_tokens, float(sample.output_tokens))
        if self.needed and busy:
            self._count(now, sample)

    def _count(self, now: float, sample: Sample) -> None:
        if self._since is None:
            self._since = now  # an epoch lies between two ends: the first one only opens it
            return
        self._ends += 1
        self._tokens += (sample.prompt_tokens or 0) + (sample.output_tokens or 0) or 1
        if self._ends < max(EPOCH_LEAST, 3 * self.rung) or now <= self._since:
            return
        self._climb(self._tokens / (now - self._since))
        self._ends = self._tokens = 0
        self._since = now

    def _climb(self, rate: float) -> None:
        if self._rest:
            self._rest -= 1
            self._best = rate
            self.rung *= 1 if self._rest else 2
        elif rate >= GAIN * self._best:
            self._best = rate
            self.rung *= 2
        else:
            self.rung = max(RUNG, self.rung // 2)
            self._rest = REST_EPOCHS


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + STEP * (value - mean)
