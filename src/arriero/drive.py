"""drive(): the one loop; the Engine, Feed and Sink protocols it joins to the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from arriero.core.events import Event
from arriero.core.request import Attempt, AttemptId


class Engine(Protocol):
    """What carries attempts out."""

    def now(self) -> float:
        """Monotonic seconds; the only clock there is."""
        ...

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; never blocks, never raises for a server's fault."""
        ...

    def cancel(self, attempt: AttemptId) -> None:
        """Ask for its end; the slot is free when ``AttemptEnded`` arrives, not before. Unknown ids are ignored."""
        ...

    def post(self, event: Event) -> None:
        """Hand an event in from outside (a signal, the feed, an observer); safe from any thread."""
        ...

    async def wait(self, until: float) -> Sequence[Event]:
        """Events that have happened, in order; an empty list when ``until`` has come (``inf``: never)."""
        ...
