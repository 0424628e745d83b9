"""Snapshot: the numbers of a batch at one moment, as ``status --json`` and every display show them."""

from __future__ import annotations

import msgspec
from msgspec import structs

from arriero.core.batch import Counts
from arriero.core.request import Unit


class InstanceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One instance at one moment.

    Attributes:
        name: Its name in the fleet.
        url: Base URL without credentials.
        state: ``joining``, ``loading``, ``ok``, ``ejected``, ``unusable`` or ``left``.
        unit: What it holds, as ``unit_words`` says it; None for nothing.
        in_flight: Attempts there now.
        limit: Attempts allowed there now; None for no bound.
        slots: Places it has, as far as learned; None if unknown.
        slots_tested: Whether these are all it has: more were sent there for long enough, and no more ran.
        rate_per_s: Requests ended there a second, in the last 30 s.
        output_tokens_per_s: Output tokens a second in the last 30 s.
        p50_s: Median latency of its answers.
        p95_s: 95th percentile of the same.
        succeeded: Requests it answered.
        failed: Attempts that failed there.
        queue_s: Mean wait for a slot there lately; None where the server tells no timings.
    """

    name: str
    url: str = ""
    state: str = "ok"
    unit: str | None = None
    in_flight: int = 0
    limit: int | None = None
    slots: int | None = None
    slots_tested: bool = False
    rate_per_s: float = 0.0
    output_tokens_per_s: float = 0.0
    p50_s: float | None = None
    p95_s: float | None = None
    succeeded: int = 0
    failed: int = 0
    queue_s: float | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something the user should hear once.

    Attributes:
        code: ``Noted.code``; ``monitor.words`` has the sentence.
        instances: Whom it is about, in the order told; empty: all of them.
        count: How often it was told.
    """

    code: str
    instances: tuple[str, ...] = ()
    count: int = 1


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of the answers of this process, as the servers counted them."""

    prompt_tokens: int = 0
    output_tokens: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A batch at one moment; its JSON is what ``status --json`` prints.

    Counts are of the whole batch, resumes included, and only of what is committed (P2). Rates, latencies, attempts
    and tokens are of this process.

    Attributes:
        state: ``running``, ``paused`` (by the user), ``unreachable`` (no usable instance), ``draining``, ``aborting``,
            or in the end ``finished``, ``stopped``, ``cancelled``.
        counts: Requests by state; ``total`` is None until the input was scanned to its end.
        attempts: Attempts by outcome: ``success`` and the failure kinds.
        rate_per_s: Requests finished a second; the last 30 s while running, the whole in the end.
        output_tokens_per_s: Output tokens a second, over the same time.
        eta_s: Seconds until the end at this rate; None if unknown.
        instances: The fleet.
        gpus: GPU samples; empty where none are taken.
        makespan_s: From the first start in this process to now, or to its last commit.
        p50_s: Median latency of the answers.
        p95_s: 95th percentile of the same.
        failures: Requests that failed for good, by kind.
        finish_reasons: Answers by finish reason; ``length`` means cut at the token limit.
        usage: Tokens in all.
        restored: Requests that had ended before this process began.
        notes: What the user should hear once.
    """

    state: str
    counts: Counts
    attempts: dict[str, int] = {}
    rate_per_s: float = 0.0
    output_tokens_per_s: float = 0.0
    eta_s: float | None = None
    instances: tuple[InstanceSnapshot, ...] = ()
    gpus: tuple[dict[str, object], ...] = ()
    makespan_s: float = 0.0
    p50_s: float | None = None
    p95_s: float | None = None
    failures: dict[str, int] = {}
    finish_reasons: dict[str, int] = {}
    usage: Tokens = Tokens()
    restored: int = 0
    notes: tuple[Note, ...] = ()

    @property
    def in_flight(self) -> int:
        """Attempts in flight over the fleet."""
        return sum(instance.in_flight for instance in self.instances)


def at_rest(snapshot: Snapshot) -> Snapshot:
    """The last numbers of a process that has gone: nothing is in flight, and rates are those of its whole run."""
    ended, took_s = snapshot.counts.finished - snapshot.restored, snapshot.makespan_s
    idle = {"in_flight": 0, "rate_per_s": 0.0, "output_tokens_per_s": 0.0}
    return structs.replace(
        snapshot,
        rate_per_s=round(ended / took_s, 3) if took_s else 0.0,
        output_tokens_per_s=round(snapshot.usage.output_tokens / took_s, 3) if took_s else 0.0,
        eta_s=None,
        instances=tuple(structs.replace(one, **idle) for one in snapshot.instances),
    )


def unit_words(unit: Unit | None) -> str | None:
    """A unit as one reads it: ``mistral:7b num_ctx=8192``."""
    if unit is None:
        return None
    return " ".join([unit.model, *(f"{name}={value}" for name, value in unit.options)])


def rounded(value_s: float | None) -> float | None:
    """Seconds to the millisecond, which is what the instruments can tell."""
    return None if value_s is None else round(value_s, 3)
