"""Desk: a scheduler driven by hand, one event and one plan at a time."""

from __future__ import annotations

from random import Random

from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.events import AttemptBegan, AttemptEnded, BatchOpened, InstanceJoined
from arriero.core.instance import Concurrency, Instance, InstanceLimit
from arriero.core.outcome import Failure, FailureKind, Model, Observation, Outcome, Success, Timing, Usage
from arriero.core.policies.pick import FirstCome
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.request import Attempt, Content, Request, Unit
from arriero.core.scheduler import Scheduler

MISTRAL, LLAMA = Unit("mistral:7b"), Unit("llama3:8b")


def row(position: int, unit: Unit = MISTRAL, batch: int = 1, **fields) -> Request:
    """A request of 30 characters and bytes."""
    shown = {"size_chars": 30, "size_bytes": 30, **fields}
    return Request(
        batch=batch, position=position, line=position + 1, id=str(position), content=Content(), unit=unit, **shown
    )


def success(output: int = 10, prompt: int = 10, reason: str = "stop") -> Success:
    """An answer as Ollama gives it."""
    timing = Timing(latency_s=1.0, load_s=0.0, prefill_s=0.1, decode_s=0.8, total_s=0.95)
    return Success(text="x", finish_reason=reason, usage=Usage(prompt, output), timing=timing)


def failure(kind: FailureKind, **fields) -> Failure:
    """A failure of a kind."""
    return Failure(kind=kind, **fields)


class Desk:
    """Holds what the scheduler has started and not seen the end of.

    Args:
        instances: Names; each an Ollama server with a fixed limit.
        limit: That limit.
        models: What each of them has.
        batch: The open batch.
        concurrency: ``-c``.
    """

    def __init__(
        self,
        *instances: str,
        limit: int = 2,
        models: dict[str, tuple[str, ...]] | None = None,
        batch: Batch | None = None,
        concurrency: Concurrency | None = None,
    ) -> None:
        self.scheduler = Scheduler(
            concurrency=concurrency or Concurrency(),
            timeout=TimeoutPolicy(),
            random=Random(1),
            rank=lambda _: FirstCome(),
        )
        self.now = 0.0
        self.running: dict[int, Attempt] = {}
        self.results = []
        self.notices = []
        self.cancelled: list[int] = []
        self.wake_at = 0.0
        self.resident: dict[str, tuple[Model, ...]] = {}
        self._models = models or {}
        self.scheduler.tell(BatchOpened(batch or Batch(id=1)), 0.0)
        for name in instances:
            self.join(name, limit)
        self.settle()

    def join(self, name: str, limit: int = 2, **fields) -> None:
        instance = Instance(name=name, url=f"http://{name}", limit=InstanceLimit(limit, limit, limit), **fields)
        self.tell(InstanceJoined(instance))

    def tell(self, event) -> None:
        self.scheduler.tell(event, self.now)
        self.plan()

    def plan(self, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        plan = self.scheduler.schedule(self.now)
        self.running.update((attempt.id, attempt) for attempt in plan.start)
        self.results += plan.results
        self.notices += plan.notices
        self.cancelled += plan.cancel
        self.wake_at = plan.wake_at

    def later(self, seconds: float) -> None:
        """Let time pass as the loop would: a plan at each moment that the scheduler asked for."""
        until = self.now + seconds
        while self.wake_at < until:
            self.plan(at=max(self.wake_at, self.now))
        self.plan(at=until)

    def add(self, *rows: Request) -> None:
        self.scheduler.add(rows, self.now)
        self.plan()
        self.settle()

    def settle(self) -> None:
        """All upkeep that runs ends well, until only requests run."""
        while steps := [attempt for attempt in self.running.values() if attempt.purpose != "request"]:
            self.end(steps[0], self.well(steps[0]))

    def well(self, attempt: Attempt) -> Outcome:
        if attempt.purpose == "discover":
            names = self._models.get(attempt.instance, ("mistral:7b", "llama3:8b"))
            models = tuple(Model(name=name, digest=f"sha256:{name}", context_tokens=4096) for name in names)
            todo = self.member(attempt.instance).todo
            if attempt.subject == "resident" and [step.purpose for step in todo[1:2]] == ["preload"]:
                models = self.resident.get(attempt.instance, ())
            return Observation(subject=attempt.subject, version="0.33.0", models=models)
        return success(reason={"preload": "load", "unload": "unload"}.get(attempt.purpose, "stop"))

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        del self.running[attempt.id]
        self.tell(AttemptEnded(attempt.id, self.now, outcome))

    def begin(self, attempt: Attempt) -> None:
        self.tell(AttemptBegan(attempt.id, self.now))

    def fail(self, attempt: Attempt, kind: FailureKind, **fields) -> None:
        self.end(attempt, failure(kind, **fields))

    def requests(self, instance: str | None = None) -> list[Attempt]:
        """Request attempts that run, oldest first."""
        return [
            attempt
            for attempt in self.running.values()
            if attempt.request is not None and instance in (None, attempt.instance)
        ]

    def positions(self, instance: str | None = None) -> list[int]:
        return [attempt.request.position for attempt in self.requests(instance) if attempt.request is not None]

    def ended(self) -> dict[int, str]:
        """How each position ended: ``ok`` or a failure kind."""
        return {
            result.request.position: result.outcome.kind.value if isinstance(result.outcome, Failure) else "ok"
            for result in self.results
        }

    def member(self, name: str):
        return self.scheduler.fleet[name]

    def replace_instance(self, name: str, **fields) -> None:
        self.member(name).instance = structs.replace(self.member(name).instance, **fields)
