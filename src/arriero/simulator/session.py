"""Session: one life of our process in a world, and whoever looks on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal, TypeAlias

from arriero.core.events import BatchClosed, Drained, Event, Notice
from arriero.core.request import Attempt, AttemptId, BatchId, Result
from arriero.core.scheduler import Scheduler
from arriero.simulator.engine import Host, SimulatedEngine
from arriero.simulator.feed import ListFeed, SlowSink
from arriero.simulator.timeline import Timeline
from arriero.simulator.world import World

End: TypeAlias = Literal["finished", "stopped", "crashed"]
"""How a session ends: by itself, drained, or killed."""


class Watch:
    """Sees everything in a run; a test overrides what it wants to check."""

    def opened(self, session: Session) -> None:
        """A session begins: the scheduler knows nothing yet."""

    def starts(self, session: Session, attempt: Attempt) -> None:
        """The scheduler has an attempt started; it is in its books already."""

    def cancels(self, session: Session, attempt: AttemptId) -> None:
        """The scheduler asks for an end."""

    def happened(self, session: Session, event: Event | Notice) -> None:
        """An event was told, or a notice given."""

    def results(self, session: Session, results: Sequence[Result]) -> None:
        """Results were handed to the sink."""

    def turned(self, session: Session) -> None:
        """One turn of the loop is over."""

    def closed(self, session: Session, end: End) -> None:
        """A session has ended."""


class _WatchedEngine(SimulatedEngine):
    """The engine, with somebody who looks on."""

    session: Session

    def start(self, attempt: Attempt) -> None:
        """Look, then send."""
        self.session.watch.starts(self.session, attempt)
        super().start(attempt)

    def cancel(self, attempt: AttemptId) -> None:
        """Look, then hang up."""
        self.session.watch.cancels(self.session, attempt)
        super().cancel(attempt)


class Session:
    """One life of our process in a world.

    Args:
        world: The world.
        number: 0 for the first life.
        watch: Sees everything.
        timeline: Virtual time.
        hosts: What answers, by instance.
        sink: The disk.

    Attributes:
        number: 0 for the first.
        scheduler: The scheduler of this life.
        engine: Its engine.
        roomy: The sink has said that it keeps up, when it was last asked.
    """

    def __init__(
        self,
        world: World,
        number: int,
        watch: Watch,
        timeline: Timeline,
        hosts: Mapping[str, Host],
        sink: SlowSink,
    ) -> None:
        self.number = number
        self.roomy = True
        self._closes = world.closes
        self.watch = watch
        self.sink = sink
        self.scheduler = Scheduler(
            concurrency=world.concurrency,
            timeout=world.timeout,
            random=Random(f"{world.seed} scheduler {number}"),
            rank=world.rank,
        )
        random = Random(f"{world.seed} engine {number}")
        self.engine = _WatchedEngine(timeline, hosts, world.truths, random, world.chaos)
        self.engine.session = self
        self.feeds: dict[BatchId, ListFeed] = {}

    # It is the sink of ``drive``, so that results are seen before they are kept.

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Show the results, then hand them on."""
        self.watch.results(self, results)
        self.sink.record(results, notices)

    def room(self) -> bool:
        """Whether the sink keeps up."""
        self.roomy = self.sink.room()
        return self.roomy

    def observe(self, event: Event | Notice, now: float) -> None:
        """Show what happened."""
        self.watch.happened(self, event)

    def after_turn(self) -> bool:
        """Look on; whether the loop may end: everything has, or it was drained."""
        scheduler = self.scheduler
        self.watch.turned(self)
        if scheduler.stop_reason and not scheduler.draining:
            scheduler.tell(Drained(), self.engine.now())
        if self._closes:
            self._close()
        if scheduler.in_flight:
            return False
        return scheduler.draining or all(scheduler.finished(batch) for batch in self.feeds)

    def _close(self) -> None:
        """Nobody asks for a batch that has ended while others go on."""
        for batch in [batch for batch in self.feeds if self.scheduler.finished(batch)][: len(self.feeds) - 1]:
            del self.feeds[batch]
            self.scheduler.tell(BatchClosed(batch), self.engine.now())
