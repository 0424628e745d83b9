"""Tally: what one instance has answered, folded from committed results."""

from __future__ import annotations

from typing import NamedTuple

from arriero.core.outcome import Failure, Success
from arriero.core.request import Unit
from arriero.monitor.histogram import Histogram
from arriero.monitor.rate import Rate, per_s
from arriero.monitor.snapshot import InstanceSnapshot, rounded, unit_words

QUEUE_WEIGHT = 0.1
"""Weight of the newest queue wait in the running average: about the last 20 answers count."""


class InstanceView(NamedTuple):
    """What the scheduler knows of one instance; ``InstanceSnapshot`` explains the fields."""

    name: str
    url: str
    state: str
    unit: Unit | None
    in_flight: int
    limit: int | None
    slots: int | None
    slots_tested: bool = False


class Tally:
    """Numbers of one instance in this process; the instance ``""`` is for requests that were never sent.

    Attributes:
        succeeded: Requests it answered.
        failed: Attempts that failed there.
        prompt_tokens: Prompt tokens of its answers, as it counted them.
        output_tokens: Output tokens of its answers, as it counted them.
        queue_s: Running average of the wait for a slot there; None where the server tells no timings.
        latency: Latencies of its answers, in seconds.
        rate: Its commits in the sliding window.
    """

    __slots__ = ("failed", "latency", "output_tokens", "prompt_tokens", "queue_s", "rate", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.queue_s: float | None = None
        self.latency = Histogram()
        self.rate = Rate()

    def ended(self, outcome: Success | Failure, now: float) -> None:
        """Fold one committed result of a request whose deciding attempt ran there."""
        if isinstance(outcome, Failure):
            self.rate.add(now, 0)
        else:
            self._answered(outcome, now)

    def _answered(self, success: Success, now: float) -> None:
        output_tokens = success.usage.output_tokens or 0
        self.succeeded += 1
        self.prompt_tokens += success.usage.prompt_tokens or 0
        self.output_tokens += output_tokens
        self.latency.add(success.timing.latency_s)
        self.rate.add(now, output_tokens)
        waited_s = success.timing.queue_s
        if waited_s is not None:
            before_s = self.queue_s
            self.queue_s = waited_s if before_s is None else before_s + QUEUE_WEIGHT * (waited_s - before_s)

    def snapshot(self, view: InstanceView, now: float, covered_s: float) -> InstanceSnapshot:
        """Join what was counted with what the scheduler knows; ``covered_s`` is what the rate's window holds."""
        rate_per_s, output_tokens_per_s = per_s([self.rate.totals(now)], covered_s)
        return InstanceSnapshot(
            name=view.name,
            url=view.url,
            state=view.state,
            unit=unit_words(view.unit),
            in_flight=view.in_flight,
            limit=view.limit,
            slots=view.slots,
            slots_tested=view.slots_tested,
            rate_per_s=round(rate_per_s, 3),
            output_tokens_per_s=round(output_tokens_per_s, 3),
            p50_s=rounded(self.latency.percentile(50)),
            p95_s=rounded(self.latency.percentile(95)),
            succeeded=self.succeeded,
            failed=self.failed,
            queue_s=rounded(self.queue_s),
        )
