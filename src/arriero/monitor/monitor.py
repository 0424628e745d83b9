"""Monitor: folds what observers are told and what the journal has committed into a Snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from arriero.core.batch import BatchStatus, Counts
from arriero.core.events import (
    Aborted,
    AttemptBegan,
    AttemptEnded,
    AttemptFailed,
    AttemptStarted,
    Drained,
    Event,
    FleetChanged,
    InputEnded,
    Noted,
    Notice,
    Paused,
    Unpaused,
)
from arriero.core.outcome import Failure
from arriero.core.request import AttemptId, Result
from arriero.monitor.histogram import Histogram
from arriero.monitor.rate import per_s, window_s
from arriero.monitor.snapshot import Note, Snapshot, Tokens, rounded
from arriero.monitor.tally import InstanceView, Tally

WINDOW_COMMITS = 10
"""Fewer commits than these in the sliding window say too little; the mean of the whole is told instead."""


class Monitor:
    """Numbers of one batch; told from the loop and from the journal's writer thread, asked from the display's.

    Args:
        fleet: Asked at each snapshot what the scheduler knows of the instances.
        restored: Requests that had ended before this process began.
        failures: Kinds of those that had failed.
    """

    def __init__(
        self,
        fleet: Callable[[], Sequence[InstanceView]],
        *,
        restored: Counts | None = None,
        failures: Mapping[str, int] | None = None,
    ) -> None:
        before = restored or Counts()
        self._fleet = fleet
        self._lock = threading.Lock()
        self._restored = before.finished
        self._succeeded = before.succeeded
        self._failed = before.failed
        self._total = before.total
        self._failures = dict(failures or {})
        self._attempts: dict[str, int] = {}
        self._finish_reasons: dict[str, int] = {}
        self._notes: dict[str, tuple[dict[str, None], int]] = {}
        self._tallies: dict[str, Tally] = {}
        self._running: set[AttemptId] = set()
        self._status = BatchStatus.RUNNING
        self._turn = {"aborting": False, "draining": False, "paused": False, "unreachable": False}
        self._started_at: float | None = None
        self._committed_at = 0.0

    def observe(self, event: Event | Notice, now: float) -> None:
        """Fold one event or notice; ``now`` is the engine's clock."""
        if isinstance(event, AttemptBegan):
            return
        with self._lock:
            match event:
                case AttemptStarted():
                    self._attempt_started(event)
                case AttemptEnded():
                    self._running.discard(event.attempt)
                case AttemptFailed():
                    _count(self._attempts, event.kind)
                    self._tally(event.attempt.instance).failed += 1
                case InputEnded():
                    self._total = event.total
                case Noted():
                    self._note(event.code, event.instance)
                case _:
                    self._turned(event)

    def committed(self, results: Sequence[Result], dropped: int = 0, now: float | None = None) -> None:
        """Fold what is durable now; the only place that counts requests as finished (P2).

        Args:
            results: One group, as the journal committed it.
            dropped: Late or second outcomes that the journal did not take.
            now: When, on the engine's clock; None: the end of the latest result.
        """
        with self._lock:
            self._committed_at = max(self._committed_at, now or max((r.ended_at for r in results), default=0.0))
            for result in results:
                self._ended(result, self._committed_at)
            for _ in range(dropped):
                self._note("late", "")

    def counted(self, total: int) -> None:
        """The scan has come to the end of the input: this many rows in all."""
        with self._lock:
            self._total = total

    def ended(self, status: BatchStatus) -> None:
        """The batch is over in this process; snapshots tell the whole from now on."""
        with self._lock:
            self._status = status

    def snapshot(self, now: float) -> Snapshot:
        """All numbers at this moment; costs time in proportion to the fleet, not to the batch."""
        fleet = self._fleet()
        with self._lock:
            running = self._status is BatchStatus.RUNNING
            counts = self._counts(running=running)
            rate_per_s, output_tokens_per_s = self._rates(now, running=running)
            covered_s = window_s(now, now if self._started_at is None else self._started_at)
            untouched = Tally()
            whole = Histogram()
            for tally in self._tallies.values():
                whole.merge(tally.latency)
            return Snapshot(
                state=self._state(),
                counts=counts,
                attempts=dict(self._attempts),
                rate_per_s=round(rate_per_s, 3),
                output_tokens_per_s=round(output_tokens_per_s, 3),
                eta_s=self._eta_s(counts, rate_per_s),
                instances=tuple(
                    self._tallies.get(view[0], untouched).snapshot(InstanceView(*view), now, covered_s)
                    for view in fleet
                ),
                makespan_s=round(self._makespan_s(now, running=running), 3),
                p50_s=rounded(whole.percentile(50)),
                p95_s=rounded(whole.percentile(95)),
                failures=dict(self._failures),
                finish_reasons=dict(self._finish_reasons),
                usage=Tokens(
                    prompt_tokens=sum(tally.prompt_tokens for tally in self._tallies.values()),
                    output_tokens=sum(tally.output_tokens for tally in self._tallies.values()),
                ),
                restored=self._restored,
                notes=tuple(
                    Note(code=code, instances=tuple(names), count=n) for code, (names, n) in self._notes.items()
                ),
            )

    def _attempt_started(self, event: AttemptStarted) -> None:
        attempt = event.attempt
        if attempt.purpose == "request":
            if self._started_at is None:
                self._started_at = event.at
            if not attempt.hedge:
                self._running.add(attempt.id)

    def _turned(self, event: Event | Notice) -> None:
        match event:
            case Drained():
                self._turn["draining"] = True
            case Aborted():
                self._turn["aborting"] = True
            case Paused(by="user") | Unpaused(by="user"):  # a sink that is full for a moment is no news
                self._turn["paused"] = isinstance(event, Paused)
            case FleetChanged():
                self._turn["unreachable"] = not event.usable
            case _:
                pass  # instances tell their state when asked; the other notices are the journal's

    def _note(self, code: str, instance: str) -> None:
        names, count = self._notes.get(code, ({}, 0))
        if instance:
            names[instance] = None
        self._notes[code] = (names, count + 1)

    def _ended(self, result: Result, now: float) -> None:
        outcome = result.outcome
        if isinstance(outcome, Failure):
            self._failed += 1
            _count(self._failures, outcome.kind)
        else:
            self._succeeded += 1
            _count(self._attempts, "success")
            _count(self._finish_reasons, outcome.finish_reason)
            if not outcome.text and outcome.embeddings is None:
                self._note("empty_answer", result.instance)
        self._tally(result.instance).ended(outcome, now)

    def _tally(self, instance: str) -> Tally:
        tally = self._tallies.get(instance)
        if tally is None:
            tally = self._tallies[instance] = Tally()
        return tally

    def _state(self) -> str:
        if self._status is not BatchStatus.RUNNING:
            return self._status.value
        return next((word for word, holds in self._turn.items() if holds), BatchStatus.RUNNING.value)

    def _counts(self, *, running: bool) -> Counts:
        in_flight = len(self._running) if running else 0
        finished = self._succeeded + self._failed
        waiting = 0 if self._total is None else max(0, self._total - finished - in_flight)
        return Counts(
            total=self._total, succeeded=self._succeeded, failed=self._failed, running=in_flight, waiting=waiting
        )

    def _makespan_s(self, now: float, *, running: bool) -> float:
        if self._started_at is None:
            return 0.0
        return max(0.0, (now if running else self._committed_at) - self._started_at)

    def _rates(self, now: float, *, running: bool) -> tuple[float, float]:
        """Requests and output tokens a second: of the window if that says enough, else of the whole."""
        if self._started_at is None:
            return 0.0, 0.0
        recent = [tally.rate.totals(now) for tally in self._tallies.values()]
        if running and sum(requests for requests, _ in recent) >= WINDOW_COMMITS:
            return per_s(recent, window_s(now, self._started_at))
        whole = (
            self._succeeded + self._failed - self._restored,
            sum(tally.output_tokens for tally in self._tallies.values()),
        )
        return per_s([whole], self._makespan_s(now, running=running) or 1.0)

    def _eta_s(self, counts: Counts, rate_per_s: float) -> float | None:
        if counts.total is None or self._status is not BatchStatus.RUNNING or self._turn["unreachable"]:
            return None
        left = counts.total - counts.finished
        return round(left / rate_per_s, 1) if rate_per_s and left > 0 else (0.0 if left <= 0 else None)


def _count(counts: dict[str, int], word: str) -> None:
    counts[word] = counts.get(word, 0) + 1
