"""drive(): the one loop; the Engine, Feed and Sink protocols it joins to the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Protocol

from arriero.core.events import Away, Event, InputEnded, Notice, Paused, Unpaused
from arriero.core.request import Attempt, AttemptId, BatchId, Request, Result
from arriero.core.scheduler import Scheduler

BEAT_S = 1.0
"""The loop turns at least this often, so that it notices that it was away."""

AWAY_S = 5.0
"""A turn that comes later than this was suspended or stopped: deadlines move by the gap, nobody is blamed."""

Observe = Callable[[Event | Notice, float], None]
"""Hears everything that happens, with the time; must be quick and never raise."""


class Engine(Protocol):
    """What carries attempts out.

    Each attempt that was started ends by exactly one ``AttemptEnded``, whatever befalls it; ``AttemptBegan`` comes
    before that, at most once, and only for an attempt that streams. Both carry the time at which they happened, and
    are handed out in that order. ``tests/conformance/test_engines.py`` holds every engine to this.
    """

    def now(self) -> float:
        """Monotonic seconds; the only clock there is. It moves while ``wait`` waits; a virtual one moves only then."""
        ...

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; never blocks, never raises for a server's fault. An unknown instance is unreachable."""
        ...

    def cancel(self, attempt: AttemptId) -> None:
        """Ask for its end; the slot is free when ``AttemptEnded`` arrives, not before.

        That end is ``cancelled``, or what the attempt came to if that happened first; what its server says later is
        not heard. Ids that are unknown, over or asked for before are ignored.
        """
        ...

    def post(self, event: Event) -> None:
        """Hand an event in from outside (a signal, the feed, an observer); safe from any thread.

        ``wait`` hands it out unchanged, in order. ``InstanceLeft`` also ends what runs there as ``lost``, after it.
        """
        ...

    async def wait(self, until: float) -> Sequence[Event]:
        """Events that have happened, in order; an empty list when ``until`` has come (``inf``: never) and not before.

        With an ``until`` that has come it returns at once; what flies goes on nevertheless, as far as time does.
        """
        ...

    async def aclose(self) -> None:
        """Hang up on what flies; again: nothing.

        Each attempt has ended when this returns, as ``cancelled`` unless it was over; ``wait`` still hands the ends
        out. What is started later ends as ``cancelled`` too and is not sent.
        """
        ...


class Feed(Protocol):
    """Where a batch's requests come from; never ahead of its scan.

    Attributes:
        more_now: The last ``take`` stopped only because it had done enough for one turn.
    """

    more_now: bool

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        ...

    @property
    def total(self) -> int | None:
        """Rows accepted in all, once it has ended."""
        ...

    def take(self, requests: int, size_bytes: int) -> list[Request | Result]:
        """At most so many requests of so many bytes in all; rows that can never be sent come as results."""
        ...


class Sink(Protocol):
    """Where results go; told means kept only once it says so itself."""

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Take them in; returns at once."""
        ...

    def room(self) -> bool:
        """Whether it keeps up; while it does not, nothing new starts."""
        ...


async def drive(
    scheduler: Scheduler,
    engine: Engine,
    feeds: Mapping[BatchId, Feed],
    sink: Sink,
    *,
    after_turn: Callable[[], bool],
    observe: Observe,
    beat_s: float = BEAT_S,
) -> None:
    """Do what the scheduler decides and tell it what happens, until ``after_turn`` says so.

    Args:
        scheduler: Decides.
        engine: Acts; its clock is the only one.
        feeds: Where each open batch's requests come from; whoever called may add to it and take from it meanwhile.
        sink: Where results go.
        after_turn: Called at the end of each turn; says whether that was the last one.
        observe: Hears each event and notice.
        beat_s: Longest time between two turns; ``inf`` in virtual time.
    """
    ended: set[BatchId] = set()
    while True:
        now = engine.now()
        more_now = _refill(scheduler, feeds, ended, sink, observe, now)
        plan = scheduler.schedule(now)
        for notice in plan.notices:
            observe(notice, now)
        if plan.results or plan.notices:
            sink.record(plan.results, plan.notices)
        for attempt_id in plan.cancel:
            engine.cancel(attempt_id)
        for attempt in plan.start:
            engine.start(attempt)
        if after_turn():
            return
        # What ended unsent left the window after it was filled: there is room again, and perhaps no event will ever say so.
        more_now = more_now or (ended != feeds.keys() and any(not result.attempt for result in plan.results))
        until = now if more_now else min(plan.wake_at, now + beat_s)
        events = await engine.wait(until)
        now = engine.now()
        if until < inf and now - until > AWAY_S:
            # Before what arrived meanwhile: what that sets (a probe, a pause) counts from now, and must not move.
            scheduler.tell(Away(now - until), now)
        for event in events:
            scheduler.tell(event, now)
            observe(event, now)


def _refill(
    scheduler: Scheduler,
    feeds: Mapping[BatchId, Feed],
    ended: set[BatchId],
    sink: Sink,
    observe: Observe,
    now: float,
) -> bool:
    """Fill the windows from the feeds; a sink that does not keep up pauses everything.

    A feed that has ended is told once. It may end without giving anything, when its scan finds no further row.

    Args:
        scheduler: Takes the requests.
        feeds: Those that are open now.
        ended: Those of them that have ended; kept up to date.
        sink: Takes what ends unsent.
        observe: Hears of each end.
        now: Monotonic seconds.

    Returns:
        Whether a feed has more at once.
    """
    keeps_up = sink.room()
    scheduler.tell(Unpaused("journal") if keeps_up else Paused("journal"), now)
    if not keeps_up:
        return False
    more_now = False
    ended.intersection_update(feeds)
    for batch, feed in tuple(feeds.items()):
        if batch in ended:
            continue
        room = scheduler.room(batch)
        if room and not feed.ended:
            rows = feed.take(room, scheduler.room_bytes(batch))
            unsent = [row for row in rows if isinstance(row, Result)]
            if unsent:
                sink.record(unsent, ())
            scheduler.add([row for row in rows if isinstance(row, Request)], now)
            more_now = more_now or feed.more_now
        if feed.ended:
            over = InputEnded(batch, feed.total or 0)
            scheduler.tell(over, now)
            observe(over, now)
            ended.add(batch)
    return more_now
