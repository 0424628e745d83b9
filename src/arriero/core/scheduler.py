"""Scheduler: told what happened, asked what to do now; joins the parts of the core that decide it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random

from arriero.core.batch import Counts
from arriero.core.books import Books
from arriero.core.dispatch import Dispatch
from arriero.core.endings import Endings
from arriero.core.events import (
    Aborted,
    AttemptBegan,
    AttemptEnded,
    AttemptStarted,
    Away,
    BatchCancelled,
    BatchClosed,
    BatchOpened,
    Drained,
    Event,
    InputEnded,
    InstanceJoined,
    InstanceLeft,
    LimitSet,
    Notice,
    Paused,
    Unpaused,
)
from arriero.core.fleet import Fleet
from arriero.core.flight import Flight
from arriero.core.instance import BackendName, Concurrency
from arriero.core.member import Member
from arriero.core.outage import Outage
from arriero.core.plan import Plan
from arriero.core.policies.pick import LongestFirst
from arriero.core.policies.predict import Lengths
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.queue import Open, Rank
from arriero.core.request import BatchId, Request
from arriero.core.step import Step, step_timeouts
from arriero.core.upkeep import Upkeep
from arriero.core.waiting import Waiting


class Scheduler:
    """Decides which request goes where and when.

    It is told everything (``tell``, ``add``) and asked what to do now (``schedule``). Nothing in it blocks, reads a clock
    or draws chance from anywhere but ``random``, so the same telling gives the same plans.

    Args:
        concurrency: What the user allows over the whole fleet.
        timeout: How long attempts may take.
        random: The only source of chance.
        rank: Which waiting requests go first, given what is learned of lengths.
    """

    def __init__(
        self,
        *,
        concurrency: Concurrency,
        timeout: TimeoutPolicy,
        random: Random,
        rank: Callable[[Lengths], Rank] = LongestFirst,
    ) -> None:
        self.lengths = lengths = Lengths()
        self.fleet = Fleet(concurrency)
        self.books = Books()
        self._plan = Plan()
        self._flight = Flight(self.fleet)
        self._waiting = Waiting(rank(lengths))
        self._upkeep = Upkeep(self.fleet, self._waiting, self._send_step, self._notice)
        self._dispatch = Dispatch(self.fleet, self.books, self._waiting, self._flight, lengths, timeout)
        self._endings = Endings(self.fleet, self.books, self._waiting, self._flight, self._upkeep, lengths, random)
        self._outage = Outage(self.fleet, self.books)
        self._paused_by: set[str] = set()
        self._closed: dict[BatchId, None] = {}
        self._draining = False
        self._handlers: dict[type, Callable[..., None]] = {
            AttemptBegan: self._attempt_began,
            AttemptEnded: self._attempt_ended,
            InstanceJoined: self._joined,
            InstanceLeft: self._left,
            LimitSet: self._limit_set,
            Paused: self._set_paused,
            Unpaused: self._set_unpaused,
            Drained: self._drained,
            Aborted: self._aborted,
            BatchOpened: self._batch_opened,
            BatchCancelled: self._batch_cancelled,
            BatchClosed: self._batch_closed,
            InputEnded: self._input_ended,
            Away: self._away,
        }

    def tell(self, event: Event, now: float) -> None:
        """Something happened.

        Args:
            event: What.
            now: Monotonic seconds, never less than in an earlier call.
        """
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)

    def room(self, batch: BatchId) -> int:
        """How many more requests of the batch the window takes; 0 when nothing new is wanted."""
        if self._draining or self.books[batch].cancelled:
            return 0
        if not self.room_bytes(batch):
            return 0
        return max(0, self.books[batch].batch.window_requests - self.books[batch].waiting)

    def room_bytes(self, batch: BatchId) -> int:
        """How many bytes of bodies the window takes besides."""
        queue = self._waiting[batch]
        return max(0, queue.batch.window_bytes - queue.bytes - self._endings.delays.bytes.get(batch, 0))

    def add(self, requests: Sequence[Request], now: float) -> None:
        """Requests wait from now on; their batch was opened before."""
        for request in requests:
            self.books[request.batch].added += 1
            self._waiting.push(Open(request))

    def schedule(self, now: float) -> Plan:
        """What to do now; every decision taken is already in the books."""
        self._upkeep.wake(now)
        self._endings.wake(now)
        going_on = not self._paused_by and not self._draining
        if going_on:
            self._endings.end_impossible(self._plan, now)
            self._upkeep.assign(now)
        self._upkeep.act(now)
        if self._draining:
            self._endings.call_back(self._plan)
        if going_on:
            for entry in self._dispatch.fill(self._plan, now):
                self._endings.refuse(self._plan, entry, now)
            delayed = self._endings.delays.units
            units = {**self._waiting.units, **delayed} if delayed else self._waiting.units
            for unit in self._outage.check(self._plan, units, now):
                self._endings.expire(self._plan, unit, now)
        if self._closed:
            self._forget_closed()
        plan, self._plan = self._plan, Plan()
        if not self._draining:
            outage_at = self._outage.wake_at if going_on else inf  # it is not looked at while somebody paused
            plan.wake_at = min(self._upkeep.wake_at, self._endings.delays.wake_at, outage_at)
        return plan

    @property
    def settled(self) -> bool:
        """Whether every instance has told what it is, or could not."""
        return self.fleet.settled

    @property
    def stop_reason(self) -> str:
        """Why no work can go on (``outage``, ``refused``); ``""`` while it can."""
        return self._outage.stop_reason

    @property
    def in_flight(self) -> int:
        """Attempts that have not ended."""
        return len(self._flight)

    @property
    def draining(self) -> bool:
        """Whether nothing new starts any more."""
        return self._draining

    def counts(self, batch: BatchId) -> Counts:
        """Requests of a batch by state, as decided (not yet as stored)."""
        return self.books[batch].counts()

    def finished(self, batch: BatchId) -> bool:
        """Whether every request of the batch has ended."""
        return self.books[batch].finished

    # What is told.

    def _attempt_began(self, event: AttemptBegan, now: float) -> None:
        running = self._flight.began(event.attempt)
        if running is not None and running.attempt.unit is not None:
            self.fleet.limit(running.member, running.attempt.unit).began(event.attempt, event.at)
            self.fleet.touch(running.member, now)

    def _attempt_ended(self, event: AttemptEnded, now: float) -> None:
        self._endings.ended(self._plan, event, now)

    def _joined(self, event: InstanceJoined, now: float) -> None:
        if self.fleet.get(event.instance.name) is not None:
            self._left(InstanceLeft(event.instance.name), now)
        self._upkeep.joined(self.fleet.join(event.instance, event.remembered), now)

    def _left(self, event: InstanceLeft, now: float) -> None:
        member = self.fleet.leave(event.name)
        if member is not None:
            self._endings.take_back(self._plan, member, begun=True)
            self._upkeep.left(member, now)

    def _limit_set(self, event: LimitSet, now: float) -> None:
        if not event.instance:
            self.fleet.concurrency = Concurrency(total=event.limit.most, learned=self.fleet.concurrency.learned)
            return
        member = self.fleet.get(event.instance)
        if member is not None:
            self.fleet.bound(member, event.limit, now)

    def _set_paused(self, event: Paused, now: float) -> None:
        self._paused_by.add(event.by)

    def _set_unpaused(self, event: Unpaused, now: float) -> None:
        self._paused_by.discard(event.by)

    def _drained(self, event: Drained, now: float) -> None:
        self._draining = True
        self._upkeep.stop()
        self._endings.stop_upkeep(self._plan)

    def _aborted(self, event: Aborted, now: float) -> None:
        self._draining = True
        self._upkeep.stop()
        self._endings.abort(self._plan)

    def _batch_opened(self, event: BatchOpened, now: float) -> None:
        self.books.open(event.batch)
        self._waiting.open(event.batch)

    def _batch_cancelled(self, event: BatchCancelled, now: float) -> None:
        if event.batch in self.books:  # else it has ended and was closed
            self._endings.cancel_batch(self._plan, event.batch, now)

    def _batch_closed(self, event: BatchClosed, now: float) -> None:
        if event.batch in self.books:
            self._closed[event.batch] = None

    def _forget_closed(self) -> None:
        """Drop the books of closed batches that have ended, so that a fleet may serve any number of them in turn."""
        for batch in [batch for batch in self._closed if self.books[batch].finished]:
            del self._closed[batch]
            self.books.drop(batch)
            self._waiting.close(batch)

    def _input_ended(self, event: InputEnded, now: float) -> None:
        self.books[event.batch].total = event.total

    def _away(self, event: Away, now: float) -> None:
        self._outage.shift(event.gap_s)
        self._endings.shift(event.gap_s)
        for member in self.fleet:
            member.health.shift(event.gap_s)

    def _notice(self, notice: Notice) -> None:
        self._plan.notices.append(notice)

    def _send_step(self, member: Member, step: Step, dialect: BackendName, now: float) -> None:
        load_s = 0.0 if step.unit is None else self.fleet.pace(member, step.unit).load_s
        timeouts = step_timeouts(step.purpose, member.health.probe_timeout_s(load_s), gateway=member.kind == "gateway")
        # A model that only embeds refuses a chat, so what loads and proves a unit goes where its requests go.
        endpoint = "" if step.unit is None else self._waiting.endpoint(step.unit)
        attempt = self._flight.send_step(member, step, dialect, now, timeouts=timeouts, endpoint=endpoint)
        self._plan.start.append(attempt)
        self._plan.notices.append(AttemptStarted(attempt, now))
