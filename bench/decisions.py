"""Decisions a second of the scheduler, at 4 and at 1,000 instances: nothing in a start may grow with the fleet.

One decision is one request from its end to the start of the next in its place: an ``AttemptBegan``, an ``AttemptEnded``, a
request added and a plan. No engine, no clock, no I/O.

    python bench/decisions.py [--requests 50000]
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections import deque
from random import Random
from time import perf_counter

from arriero.core.batch import Batch
from arriero.core.events import AttemptBegan, AttemptEnded, BatchOpened, InstanceJoined
from arriero.core.instance import Concurrency, Instance
from arriero.core.outcome import Model, Observation, Outcome, Success, Timing, Usage
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.request import Attempt, Content, Request, Unit
from arriero.core.scheduler import Scheduler

FLEETS = (4, 1000)
SLOTS = 4
UNIT = Unit("mistral:7b")
GOAL = 0.5


class Bench:
    """A scheduler whose attempts end in the order in which they were started, a millisecond apart."""

    def __init__(self, instances: int) -> None:
        self.scheduler = Scheduler(concurrency=Concurrency(), timeout=TimeoutPolicy(), random=Random(1))
        self.running: deque[Attempt] = deque()
        self.now = 0.0
        self._random = Random(2)
        self._position = 0
        for number in range(instances):
            name = f"i{number:04}"
            self.scheduler.tell(InstanceJoined(Instance(name=name, url=f"http://{name}", kind="server")), self.now)
        self.scheduler.tell(BatchOpened(Batch(id=1)), self.now)
        self.fill()
        while any(member.ready_for is None for member in self.scheduler.fleet):
            self.turn()

    def fill(self) -> None:
        """Add what the window takes."""
        rows = [self._row() for _ in range(self.scheduler.room(1))]
        self.scheduler.add(rows, self.now)
        self.plan()

    def plan(self) -> int:
        """Take the next plan; how many requests it starts."""
        started = self.scheduler.schedule(self.now).start
        self.running.extend(started)
        return sum(attempt.request is not None for attempt in started)

    def turn(self) -> int:
        """The oldest attempt ends; how many requests follow it."""
        attempt = self.running.popleft()
        self.now += 0.001
        if attempt.request is not None:
            self.scheduler.tell(AttemptBegan(attempt.id, self.now), self.now)
        self.scheduler.tell(AttemptEnded(attempt.id, self.now, outcome_of(attempt)), self.now)
        if attempt.request is not None:
            self.scheduler.add([self._row()], self.now)
        return self.plan()

    def _row(self) -> Request:
        self._position += 1
        return Request(
            batch=1,
            position=self._position,
            line=self._position,
            id="",
            content=Content(),
            unit=UNIT,
            size_chars=self._random.randint(20, 4000),
            size_bytes=1000,
            max_tokens=self._random.choice((64, 256, 1024)),
        )


def outcome_of(attempt: Attempt) -> Outcome:
    """What a healthy server says."""
    if attempt.purpose == "discover":
        models = (Model(name=UNIT.model, context_tokens=4096, capabilities=("completion",)),)
        return Observation(subject=attempt.subject, version="0.33.0", models=models, latency_s=0.001)
    timing = Timing(latency_s=1.2, ttft_s=0.2, load_s=0.0, prefill_s=0.1, decode_s=1.0, total_s=1.15)
    reason = "load" if attempt.purpose == "preload" else "stop"
    return Success(text="", finish_reason=reason, usage=Usage(100, 60), timing=timing)


def rate(instances: int, requests: int) -> tuple[float, int]:
    """Decisions a second, and the requests in flight while it was measured."""
    bench = Bench(instances)
    while len(bench.running) < SLOTS * instances and bench.turn():
        pass
    begun, decisions = perf_counter(), 0
    while decisions < requests:
        decisions += bench.turn()
    return decisions / (perf_counter() - begun), bench.scheduler.in_flight


def main() -> None:
    """Measure both fleets and say whether the big one makes at least half as many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    requests = parser.parse_args().requests
    print(f"Python {platform.python_version()}, {platform.machine()}, {requests:,} decisions each")
    rates = []
    for instances in FLEETS:
        best, in_flight = max(rate(instances, requests) for _ in range(3))
        rates.append(best)
        print(
            f"{instances:>5} instances  {in_flight:>5} in flight  {best:>8,.0f} decisions/s  {1e6 / best:>6.1f} us each"
        )
    ratio = rates[1] / rates[0]
    print(f"ratio {ratio:.2f} (goal: at least {GOAL})")
    sys.exit(ratio < GOAL)


if __name__ == "__main__":
    main()
