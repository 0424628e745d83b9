"""The real command line over simulated servers: everything between the input file and the output is what users run.

Usage: python virtual_run.py FIRST_FILE WORDS_OF_ARRIERO…

``AsyncioEngine`` alone is exchanged, in this process, where ``client/session.py`` makes one: ``VirtualEngine`` gives each
address of the fleet a simulated server. FIRST_FILE is written when the first request is sent: the CPU seconds of this
process so far, and the clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Self

from arriero.cli.app import start
from arriero.client import session
from arriero.core.events import Event
from arriero.core.request import Attempt
from arriero.simulator.engine import SimulatedEngine
from arriero.simulator.server import Server
from arriero.simulator.spec import ServerSpec, Truth
from arriero.simulator.timeline import Timeline

SLOTS = 16
TRUTH = Truth(prompt_tokens=20, output_tokens=8)


class Alike(dict[Any, Truth]):
    """Every request costs the same; nothing is held for any of them."""

    def __missing__(self, key: Any) -> Truth:
        return TRUTH


class NoLog(list[Any]):
    """What a server would keep of each attempt; a million of them are not this test's."""

    def append(self, _: Any) -> None:
        """Forget it."""


class VirtualEngine(SimulatedEngine):
    """The simulated engine where the real one is made; time is virtual while something flies, and real otherwise.

    What waits for nothing but our own threads (the scan, a journal that is full) waits for them as the real engine does.
    """

    sent: int
    first_file: Path

    def __init__(self, book: Mapping[str, Any], dialects: Mapping[str, Any], name: str) -> None:
        timeline = Timeline()
        random = Random(name)
        struck: Counter[str] = Counter()
        hosts = {
            instance: Server(
                ServerSpec(name=instance, slots=SLOTS, token_s=0.002, prefill_tokens_per_s=200_000.0, rtt_s=0.002),
                timeline,
                random,
                struck,
            )
            for instance in book
        }
        for host in hosts.values():
            host.received = host.answered = NoLog()
        super().__init__(timeline, hosts, Alike(), random)
        self._posted: list[Event] = []
        self._called = threading.Condition()
        self.sent = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def start(self, attempt: Attempt) -> None:
        if attempt.purpose == "request":
            if not self.sent:
                first = {"cpu_s": time.process_time(), "at": time.monotonic()}
                self.first_file.write_text(json.dumps(first))
            self.sent += 1
        super().start(attempt)

    def post(self, event: Event) -> None:
        """From any thread."""
        with self._called:
            self._posted.append(event)
            self._called.notify()

    async def wait(self, until: float) -> Sequence[Event]:
        with self._called:
            if not self._posted and not self._events and not self._flights and until > self.now():
                self._called.wait(min(until - self.now(), 1.0))
            posted, self._posted = self._posted, []
        for event in posted:
            super().post(event)
        await asyncio.sleep(0)  # as the real one, it lets the loop turn
        if not self._flights and until == inf:
            return await super().wait(self.now())
        return await super().wait(until)


def run(engine: type[VirtualEngine], first_file: Path, words: Sequence[str]) -> int:
    """Run a command line over an engine."""
    engine.first_file = first_file
    session.AsyncioEngine = engine  # type: ignore[misc,assignment]
    return start(list(words))


if __name__ == "__main__":
    sys.exit(run(VirtualEngine, Path(sys.argv[1]), sys.argv[2:]))
