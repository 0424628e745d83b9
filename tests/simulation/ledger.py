"""Ledger: books kept from outside over every attempt: told once, answered once, in time, and as the servers saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf, isfinite

from broken import CLOSE_S, check

from arriero.core.events import (
    READMITTED,
    AttemptEnded,
    AttemptFailed,
    AttemptStarted,
    Event,
    InstanceChanged,
    Notice,
    UpkeepEnded,
)
from arriero.core.outcome import INSTANCE_FAULTS, Failure, FailureKind, Observation, Outcome, Success
from arriero.core.request import Attempt, AttemptId, Result
from arriero.drive import BEAT_S
from arriero.simulator.feed import Key, key_of
from arriero.simulator.run import Run
from arriero.simulator.session import End, Session, Watch
from arriero.simulator.world import World

CHARGEABLE = INSTANCE_FAULTS | {FailureKind.INVALID_OUTPUT}
"""Kinds that may use up an attempt (``docs/promises.md``)."""

RETRY_AFTER_MOST_S = 300.0
"""So long a server that asks for it is left alone."""

READMITTED_MOST = 64
"""From here on an instance that came back is one like any other."""


def awake_s(session: Session) -> float:
    """Seconds of this life in which we were not suspended."""
    return session.engine.now() - session.engine.slept_s


class Ledger(Watch):
    """Takes nothing from the core's own books but who is a member."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: Counter[str] = Counter()
        self.sent: dict[int, Attempt] = {}
        self.right: dict[int, Result] = {}
        self.given_up: set[int] = set()
        self._begin()

    def _begin(self) -> None:
        self.open: dict[AttemptId, Attempt] = {}
        self.announced: dict[AttemptId, Attempt] = {}
        self.asked: set[AttemptId] = set()
        self.ends: dict[AttemptId, Outcome] = {}
        self.landed: dict[AttemptId, Attempt] = {}
        self.told: Counter[AttemptId] = Counter()
        self.decided: dict[AttemptId, Result] = {}
        self.due: dict[Key, float] = {}
        self.refused_since: dict[Key, float] = {}
        self.quiet_until: dict[int, float] = {}
        self.places: dict[int, int] = {}
        self.answers: Counter[int] = Counter()
        self.index: dict[AttemptId, int] = {}
        self.excused: set[AttemptId] = set()
        self.out: set[int] = set()
        self.suspects: set[Key] = set()
        self.peak: Counter[int] = Counter()
        self.before: set[Key] = set()

    def opened(self, session: Session) -> None:
        self._begin()
        self.before = set(session.sink.kept)

    # What is sent.

    def starts(self, session: Session, attempt: Attempt) -> None:
        now = session.engine.now()
        check(session.roomy or attempt.request is None, f"P2: {attempt.id} starts although the disk does not keep up")
        check(self.announced.pop(attempt.id, None) is attempt, f"P15: nobody is told that {attempt.id} starts")
        bounds = (attempt.timeouts.first_byte_s, attempt.timeouts.idle_s, attempt.timeouts.total_s)
        check(all(isfinite(bound) and bound > 0.0 for bound in bounds), f"P13: an attempt is given {bounds} s")
        member = session.scheduler.fleet[attempt.instance]
        if attempt.request is not None:
            self._request_starts(session, attempt, member.index, now)
        self.sent[id(attempt)] = attempt
        self.open[attempt.id] = attempt
        self.index[attempt.id] = member.index

    def _request_starts(self, session: Session, attempt: Attempt, index: int, now: float) -> None:
        key = key_of(attempt.request)
        check(now >= self.due.get(key, 0.0) - CLOSE_S, f"P6: {key} is sent before its wait is over")
        check(now >= self.quiet_until.get(index, 0.0) - CLOSE_S, f"P6: {attempt.instance} asked for longer peace")
        here = [one for one in self.open.values() if one.request is not None and self.index[one.id] == index]
        places = self.places.get(index, READMITTED_MOST)
        check(places >= READMITTED_MOST or len(here) < places, f"P6: {attempt.instance} came back too fast")
        mine = sum(one.request is not None and one.request.batch == key[0] for one in self.open.values())
        self.peak[key[0]] = max(self.peak[key[0]], mine + 1)

    def cancels(self, session: Session, attempt: AttemptId) -> None:
        check(attempt in self.open or attempt in self.ends, f"the end of {attempt} is asked for, which never ran")
        self.asked.add(attempt)

    # What happens and what is told.

    def happened(self, session: Session, event: Event | Notice) -> None:
        now = session.engine.now()
        if isinstance(event, AttemptEnded):
            self._ended(session, event, now)
        elif isinstance(event, AttemptStarted):
            check(event.attempt.id not in self.announced, f"P15: {event.attempt.id} is announced twice")
            self.announced[event.attempt.id] = event.attempt
        elif isinstance(event, AttemptFailed):
            self._failed(session, event)
        elif isinstance(event, UpkeepEnded):
            self.told[event.attempt.id] += 1
            check(event.latency_s >= 0.0, f"P13: {event.attempt.purpose} took {event.latency_s} s")
        elif isinstance(event, InstanceChanged):
            check((event.probe_in_s or 0.0) >= 0.0, f"P13: a probe in {event.probe_in_s} s")
            index = getattr(session.scheduler.fleet.get(event.name), "index", 0)
            if event.state == "ok" and not event.reason and event.unit is None:
                self.places.pop(index, None)  # it has told what it is only now
            if event.state == "ejected":
                self.out.add(index)
            if event.reason == READMITTED:
                check(index in self.out, f"P6: {event.name} is let in again, which it was before")
                self.out.discard(index)
                self.places[index] = 2 ** self.answers[index]  # this comes after what was told in the same turn

    def _ended(self, session: Session, event: AttemptEnded, now: float) -> None:
        attempt = self.open.pop(event.attempt, None)
        if attempt is None:
            return
        self.ends[attempt.id] = event.outcome
        self.landed[attempt.id] = attempt
        index, member = self.index[attempt.id], session.scheduler.fleet.get(attempt.instance)
        if member is None or member.index != index or member.health.down(now) or member.health.gateway:
            self.excused.add(attempt.id)
        outcome = event.outcome
        answers = isinstance(outcome, Success) and attempt.request is not None
        self.answers[index] += answers
        if answers and index in self.places:
            self.places[index] *= 2
            if member is None or self.places[index] >= min(self._limit(session, attempt, now), READMITTED_MOST):
                del self.places[index]
        asks = isinstance(outcome, Failure) and outcome.kind is FailureKind.OVERLOADED
        if asks and attempt.request is not None and outcome.retry_after_s:
            until = now + outcome.retry_after_s
            self.quiet_until[index] = max(self.quiet_until.get(index, 0.0), until)

    def _limit(self, session: Session, attempt: Attempt, now: float) -> int:
        scheduler = session.scheduler
        return scheduler.fleet.limit(scheduler.fleet[attempt.instance], attempt.unit).limit(now)

    def _failed(self, session: Session, event: AttemptFailed) -> None:
        attempt, now = event.attempt, session.engine.now()
        outcome, key = self.ends.get(attempt.id), key_of(attempt.request)
        self.told[attempt.id] += 1
        check(outcome is not None, f"{attempt.id} is told to have failed before it ended")
        check(isinstance(event.kind, FailureKind), f"P14: {event.kind} is in no list")
        check(not event.charged or event.kind in CHARGEABLE, f"P6: {key} is charged for {event.kind.value}")
        fault = event.kind in INSTANCE_FAULTS
        check(
            event.charged or not fault or attempt.id in self.excused,
            f"P6: {key} is not charged for {event.kind.value} on {attempt.instance}, which is in use",
        )
        if event.retry_in_s is None:
            return
        check(event.retry_in_s >= 0.0, f"P13: a retry in {event.retry_in_s} s")
        failure = outcome if isinstance(outcome, Failure) else None
        if failure is not None and failure.crashed:
            self.suspects.add(key)
        if key not in self.suspects:  # those wait for an instance of their own instead
            self.due[key] = now + event.retry_in_s
        if event.kind is not FailureKind.OVERLOADED:
            self.refused_since.pop(key, None)
            return
        since = self.refused_since.setdefault(key, awake_s(session))
        most_s = next(rows.batch.max_wait_s for rows in self.world.batches if rows.batch.id == key[0])
        asked_s = min(failure.retry_after_s or 0.0, RETRY_AFTER_MOST_S, most_s - (awake_s(session) - since))
        check(event.retry_in_s >= asked_s - CLOSE_S, f"P6: {key} waits {event.retry_in_s} of {asked_s} s")

    def results(self, session: Session, results: Sequence[Result]) -> None:
        for result in results:
            key, outcome = key_of(result.request), result.outcome
            check(key not in self.before, f"P4: {key} ends again although its result is kept")
            if isinstance(outcome, Success):
                timing = outcome.timing
                seconds = (timing.latency_s, timing.ttft_s or 0.0, timing.queue_s or 0.0)
                check(min(seconds) >= 0.0, f"P13: {key} took {seconds} s")
            check(
                0.0 <= result.ended_at == session.engine.now() or not result.attempt,
                f"P13: {key} ended at another time",
            )
            if not result.attempt:
                check(not result.succeeded, f"P4: {key} has an answer that no attempt brought")
                continue
            self._waited(key, outcome, awake_s(session))
            attempt = self.landed.get(result.attempt)
            check(attempt is not None, f"P4: {key} is decided by an attempt that did not end now")
            check(result.attempt not in self.decided, f"P4: {result.attempt} decides twice")
            check(key_of(attempt.request) == key, f"P4: {key} is decided by the attempt of another")
            check(attempt.instance == result.instance, f"P15: {key} is booked for {result.instance}")
            check(result.attempts == attempt.number, f"P15: {key} had {attempt.number} attempts, not {result.attempts}")
            first = self.ends[result.attempt]
            check(not result.succeeded or outcome is first, f"P4: {key} ends by another outcome than its first")
            self.decided[result.attempt] = result
            self.right[id(attempt)] = result

    def _waited(self, key: Key, outcome: Outcome, now: float) -> None:
        """What a server had no room for is given up only after ``--max-wait``; time that we were away does not count."""
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.OVERLOADED:
            waited_s = now - self.refused_since.get(key, now)
            most_s = next(rows.batch.max_wait_s for rows in self.world.batches if rows.batch.id == key[0])
            check(waited_s >= most_s - BEAT_S, f"P6: {key} was refused for {waited_s:.1f} of {most_s} s")

    def turned(self, session: Session) -> None:
        check(not self.announced, f"P15: {list(self.announced)} are announced and not sent")
        for attempt_id, attempt in self.landed.items():
            self._settled(session, attempt_id, attempt)
        self.landed.clear()
        self.answers.clear()
        scheduler, sink = session.scheduler, session.sink
        check(scheduler._endings.delays.wake_at > session.engine.now(), "P6: a wait is over, and nobody notices")
        for number in session.feeds:
            account = scheduler.books[number]
            most = account.batch.window_requests + self.peak[number]
            check(
                account.open <= most,
                f"P7: batch {number} has {account.open} open, its window and {self.peak[number]} in flight",
            )
        check(len(sink._queue) <= self._queue_most(session), f"P7: {len(sink._queue)} results wait for the disk")

    def _queue_most(self, session: Session) -> float:
        """What may wait for the disk: what it takes, and what ran or stood in the window when it said no."""
        windows = sum(rows.batch.window_requests for rows in self.world.batches)
        return self.world.sink_most + windows + sum(self.peak.values())

    def _settled(self, session: Session, attempt_id: AttemptId, attempt: Attempt) -> None:
        """Each end is told exactly once: as a result, as a failure, or, if we asked for it, not at all."""
        outcome, told = self.ends[attempt_id], self.told[attempt_id]
        if attempt.request is None:
            check(told == 1, f"P15: the end of {attempt.purpose} {attempt_id} is told {told} times")
            return
        ours = isinstance(outcome, Failure) and outcome.kind is FailureKind.CANCELLED and attempt_id in self.asked
        if ours:
            check(told == 0, f"P15: {attempt_id}, which we called back, is told as a failure")
        elif isinstance(outcome, Success):
            result = self.decided.get(attempt_id)
            once = told == 0 if result is not None and result.succeeded else told == 1
            check(once, f"P15: the answer of {attempt_id} is told {told} times, result {result is not None}")
        else:
            check(told == 1, f"P15: the failure of {attempt_id} is told {told} times")
        check(not isinstance(outcome, Observation), f"P14: {attempt_id} ends with a listing")
        if told or ours:
            self.given_up.add(id(attempt))

    def closed(self, session: Session, end: End) -> None:
        """What was in flight when we died is nobody's any more; so is what was not yet on disk."""
        self.seen["closed"] += 1
        if end != "crashed":
            return
        self.given_up.update(id(attempt) for attempt in (*self.open.values(), *self.landed.values()))
        for result in self.decided.values():
            kept = session.sink.kept.get(key_of(result.request))
            self.seen["redone after a crash"] += kept is not result

    def over(self, run: Run) -> None:
        """The servers' own logs against ours (P15)."""
        servers = run.servers.values()
        received = Counter(id(attempt) for server in servers for attempt in server.received)
        for attempt in self.sent.values():
            times = received.pop(id(attempt), 0)
            direct = attempt.instance in run.hosts and attempt.instance in run.servers
            check(times <= 1, f"P15: {attempt.id} came to its servers {times} times")
            check(times == 1 or not direct, f"P15: {attempt.id} for {attempt.instance} never came there")
        check(not received, f"P15: servers saw {len(received)} attempts that nobody sent")
        answered = Counter(id(attempt) for server in servers for attempt in server.answered)
        for number, result in self.right.items():
            check(not result.succeeded or answered[number] == 1, f"P15: no server answered {key_of(result.request)}")
        for number, times in answered.items():
            attempt = self.sent[number]
            known = attempt.request is None or number in self.right or number in self.given_up
            check(times == 1 and known, f"P15: the answer to {attempt.id} is in no book")
        check(run.timeline.now < inf, "P13: time ran out")
