"""Microseconds a request of the observers: Monitor.observe and Monitor.committed together, and of one snapshot.

    python bench/monitor_cost.py [--requests 200000] [--instances 12]

A request is told as a run tells it: started, began, ended, and committed in a group of 64.
"""

from __future__ import annotations

import argparse
import platform
import time

from arriero.core.events import AttemptBegan, AttemptEnded, AttemptStarted
from arriero.core.outcome import Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Result, Timeouts, Unit
from arriero.monitor.display import live_line
from arriero.monitor.monitor import Monitor
from arriero.monitor.tally import InstanceView

GROUP = 64


def told(requests: int, instances: int) -> list[tuple[list[object], Result]]:
    """Events and the result of each request, made beforehand: what they cost is not the observers'."""
    unit, content, timeouts = Unit("mistral:7b"), Content(), Timeouts(1, 1, 1)
    made: list[tuple[list[object], Result]] = []
    for position in range(requests):
        request = Request(batch=1, position=position, line=position + 1, id="", content=content, unit=unit)
        instance = f"gpu-{position % instances}"
        attempt = Attempt(id=position, instance=instance, unit=unit, request=request, timeouts=timeouts)
        at = position / 2000
        outcome = Success(
            text="",
            finish_reason="stop",
            usage=Usage(40, 200),
            timing=Timing(1.0 + position % 97 / 31, 0.2, 0.001, 0.1, 1.2, 1.4),
        )
        events: list[object] = [
            AttemptStarted(attempt, at),
            AttemptBegan(position, at),
            AttemptEnded(position, at, outcome),
        ]
        result = Result(request=request, outcome=outcome, instance=instance, attempt=position, attempts=1, ended_at=at)
        made.append((events, result))
    return made


def main() -> None:
    """Fold all of it and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--instances", type=int, default=12)
    chosen = parser.parse_args()
    views = [InstanceView(f"gpu-{n}", "http://h", "ok", Unit("m"), 3, 4, 4) for n in range(chosen.instances)]
    monitor = Monitor(lambda: views)
    monitor.counted(chosen.requests)
    made = told(chosen.requests, chosen.instances)
    cpu = time.process_time()
    for events, _ in made:
        for event in events:
            monitor.observe(event, event.at)
    observed = time.process_time() - cpu
    cpu = time.process_time()
    for start in range(0, len(made), GROUP):
        monitor.committed([result for _, result in made[start : start + GROUP]])
    committed = time.process_time() - cpu
    cpu = time.process_time()
    for _ in range(100):
        line = live_line(monitor.snapshot(chosen.requests / 2000))
    frame = (time.process_time() - cpu) / 100
    assert monitor.snapshot(0.0).counts.succeeded == chosen.requests
    print(f"Python {platform.python_version()}, {platform.machine()}, {chosen.instances} instances")
    print(f"observe, three events a request  {observed / chosen.requests * 1e6:5.2f} us a request")
    print(f"committed, groups of {GROUP}          {committed / chosen.requests * 1e6:5.2f} us a request")
    print(f"snapshot and live line           {frame * 1e6:5.0f} us a frame: {line}")


if __name__ == "__main__":
    main()
