"""Checker: every invariant of the core, looked at after every step of a simulated world."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from broken import check
from ledger import awake_s
from standing import Standing

from arriero.core.events import (
    AttemptEnded,
    AttemptFailed,
    AttemptRefunded,
    Event,
    InstanceChanged,
    Noted,
    Notice,
)
from arriero.core.outcome import INSTANCE_FAULTS, Failure, FailureKind, Success
from arriero.core.request import TRANSITIONS, Attempt, AttemptId, Request, Result, State, Unit
from arriero.drive import BEAT_S
from arriero.simulator.feed import Key, key_of
from arriero.simulator.run import Run
from arriero.simulator.session import End, Session
from arriero.simulator.spec import answer
from arriero.simulator.world import World

SENDINGS_MOST = 400
"""A request is sent less often than this, whatever happens (P6: bounded attempts; waits double, worlds end within a day)."""

TURNS_MOST = 60_000
"""No world needs so many turns; one that does spins."""

DAY_S = 86_400.0
"""A world that takes longer makes no progress (P6)."""


def scheduler_units(session: Session) -> list[Unit]:
    """Units of everything that waits, delayed or not."""
    scheduler = session.scheduler
    return [*scheduler._waiting.units, *scheduler._endings.delays.units]


class Checker(Standing):
    """Looks at a run from outside, keeps books of its own and compares.

    Attributes:
        seen: Counts what the run has been through: transitions, notices, failures, purposes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: Counter[str] = Counter()
        self.plans = hashlib.blake2b(digest_size=16)
        self.sent: Counter[tuple[int, int, int]] = Counter()
        self.committed: dict[Key, Result] = {}
        self.crashed = False
        self.served_at: dict[Unit, float] = {}
        self._reset()

    def _reset(self) -> None:
        self.open: dict[AttemptId, Attempt] = {}
        self.lives: dict[AttemptId, int] = {}
        self.resident: dict[int, Unit | None] = {}
        self.landed: dict[Key, None] = {}
        self.ended: dict[Key, Result] = {}
        self.state: dict[Key, State] = {}
        self.charged: Counter[Key] = Counter()
        self.turns = 0
        self.started: list[Attempt] = []

    # What the run tells.

    def opened(self, session: Session) -> None:
        self._reset()
        self.opened_at = awake_s(session)
        self.served_at.clear()
        self.charged.update(session.sink.charged)
        self.seen["refunds kept over a crash"] += self.crashed * session.sink.refunds
        self._digest("opened", session.number)

    def starts(self, session: Session, attempt: Attempt) -> None:
        scheduler, now = session.scheduler, session.engine.now()
        self._digest("start", now, attempt.id, attempt.instance, attempt.purpose, attempt.max_tokens)
        check(not scheduler.draining, f"{attempt.purpose} started after the drain")
        check(attempt.id not in self.open, f"attempt {attempt.id} started twice")
        check(attempt.max_tokens > 0, "a generation without a bound runs for ever")
        member = scheduler.fleet[attempt.instance]
        running = {key: one for key, one in self.open.items() if self.lives[key] == member.index}
        self.seen[f"purpose {attempt.purpose}"] += 1
        if attempt.unit is not None:
            limit = scheduler.fleet.limit(member, attempt.unit).limit(now)
            check(
                len(running) < limit, f"P10: {attempt.purpose} starts on {member.name} with {len(running)} of {limit}"
            )
        self.started.append(attempt)
        self.open[attempt.id] = attempt
        self.lives[attempt.id] = member.index
        if attempt.purpose in ("preload", "unload"):
            self.resident[member.index] = None
        if attempt.request is not None:
            self._request_starts(session, attempt, attempt.request, running)

    def _request_starts(
        self, session: Session, attempt: Attempt, request: Request, running: dict[AttemptId, Attempt]
    ) -> None:
        scheduler, now = session.scheduler, session.engine.now()
        member, key = scheduler.fleet[attempt.instance], key_of(request)
        total = scheduler.fleet.total
        requests = [one for one in self.open.values() if one.request is not None]
        check(total is None or len(requests) <= total, f"{len(requests)} requests in flight, -c is {total}")
        check(not member.health.down(now), f"a request starts on {member.name}, which is out of use")
        if member.backend == "ollama" and member.kind == "server":
            held = self.resident.get(member.index)
            check(held == request.unit, f"a request starts on {member.name}, which does not hold its unit")
        failed_on = scheduler._flight._running[attempt.id].entry.failed_on
        back = member.name in failed_on and not member.alone and scheduler.fleet.others(request.unit, failed_on)
        check(not back, f"{key} goes back to {member.name}, where it failed")
        closed = member.health.closed(now)
        limit = scheduler.fleet.limit(member, request.unit).limit(now)
        check(len(running) + closed < limit, f"a request starts on a closed place of {member.name}")
        cap = member.health.cap()
        check(cap is None or len(running) < cap, f"{member.name} came back too fast")
        check(not member.alone or not running, f"{member.name} is kept for one suspect")
        alike = [one for one in requests if one is not attempt and key_of(one.request) == key]
        check(not alike, f"{key} runs twice at once")
        check(key not in self.ended, f"{key} is sent after its end")
        check(not scheduler.books[request.batch].cancelled, f"{key} is sent although its batch was cancelled")
        check(key not in self.committed, f"{key} is sent although its result is kept")
        if request.round and not self.sent[key]:
            self.seen[f"{State.FINISHED} -> {State.WAITING}"] += 1
        self.sent[key] += 1
        check(self.sent[key] <= SENDINGS_MOST, f"{key} was sent {self.sent[key]} times")
        if key in self.landed:
            self._move(key, State.WAITING)
        self._move(key, State.RUNNING)

    def cancels(self, session: Session, attempt: AttemptId) -> None:
        self._digest("cancel", session.engine.now(), attempt)
        self.seen["cancel"] += 1

    def happened(self, session: Session, event: Event | Notice) -> None:
        self.seen[type(event).__name__] += 1
        if isinstance(event, AttemptEnded):
            attempt = self.open.pop(event.attempt, None)
            if attempt is not None and isinstance(event.outcome, Failure):
                self.seen[f"{attempt.purpose} {event.outcome.kind.value}"] += 1
                check(event.outcome.kind in FailureKind, "P14: a kind outside the list")
            if attempt is not None and attempt.request is not None:
                self.landed[key_of(attempt.request)] = None
            if attempt is not None and attempt.purpose == "preload" and isinstance(event.outcome, Success):
                self.resident[self.lives[attempt.id]] = attempt.unit
        elif isinstance(event, AttemptFailed):
            self.seen["charged" if event.charged else "not charged"] += 1
            self.charged[key_of(event.attempt.request)] += event.charged
        elif isinstance(event, AttemptRefunded):
            self.charged[key_of(event.attempt.request)] -= 1
        elif isinstance(event, InstanceChanged):
            self.seen[f"instance {event.state}"] += 1
        elif isinstance(event, Noted):
            self.seen[f"noted {event.code}"] += 1

    def results(self, session: Session, results: Sequence[Result]) -> None:
        for result in results:
            key = key_of(result.request)
            self._digest("result", key, result.attempt, result.succeeded)
            check(key not in self.ended, f"P1: {key} has ended twice")
            check(key not in self.committed, f"P4: {key} ends although its result is kept")
            self.ended[key] = result
            self._move(key, State.FINISHED)
            self._judge(session, result)

    def turned(self, session: Session) -> None:
        self.turns += 1
        now = session.engine.now()
        check(self.turns < TURNS_MOST, f"{self.turns} turns: it spins")
        check(now < DAY_S, f"P6: a day has passed; {self._stuck(session)}")
        for unit in scheduler_units(session):
            if any(member.trusted and member.can_serve(unit) for member in session.scheduler.fleet):
                self.served_at[unit] = awake_s(session)
        self._flight_adds_up(session)
        self._books_add_up(session)
        self._nothing_idles(session, now)
        self._classes_are_strict(session)
        self.started.clear()
        for key in self.landed:
            if key not in self.ended and self.state[key] is State.RUNNING and key not in self._running():
                self._move(key, State.WAITING)
        self.landed.clear()

    def closed(self, session: Session, end: End) -> None:
        self._digest("closed", end)
        self.seen[f"session {end}"] += 1
        if end != "crashed":
            check(not self.open, f"{len(self.open)} attempts left in flight")
            check(not session.scheduler.in_flight, "the scheduler still waits for an end")
        self.crashed = end == "crashed"
        self.committed = dict(session.sink.kept)
        if session.scheduler.stop_reason == "outage":
            since = [self.served_at.get(unit, self.opened_at) for unit in scheduler_units(session)]
            waited_s, most_s = awake_s(session) - min(since), session.scheduler.books.max_wait_s
            check(waited_s >= most_s - BEAT_S, f"P6: it stopped after an outage of {waited_s:.1f} of {most_s} s")
        if end == "finished":
            for number, feed in session.feeds.items():
                account = session.scheduler.books[number]
                check(account.open == 0, f"batch {number} has {account.open} open requests at its end")
                check(account.cancelled or feed.ended, f"batch {number} has rows left that nobody asked for")

    def over(self, run: Run) -> None:
        """The world has come to its end: every row has, too, and no server holds anything."""
        for host in run.hosts.values():
            check(not host.holds, f"{host.spec.name} still holds {host.holds}")
        check(not run.sink.doubled, f"P4: told twice: {run.sink.doubled[:3]}")
        for batch in self.world.batches:
            if batch.batch.id in run.cancelled:
                continue
            for row in batch.rows:
                key = key_of(row.request if isinstance(row, Result) else row)
                check(key in run.sink.kept, f"P1: {key} has no result")

    def _running(self) -> set[Key]:
        return {key_of(one.request) for one in self.open.values() if one.request is not None}

    # What must hold.

    def _judge(self, session: Session, result: Result) -> None:
        """A result is right, as far as one can know from outside."""
        request, outcome = result.request, result.outcome
        if isinstance(outcome, Success):
            check(outcome.text == answer(request), f"{key_of(request)} got somebody else's answer")
            self.seen["succeeded"] += 1
            return
        self.seen[f"ended {outcome.kind.value}"] += 1
        retries = next(rows.batch.retries for rows in self.world.batches if rows.batch.id == request.batch)
        if outcome.kind in INSTANCE_FAULTS:
            check(
                result.attempts > retries or outcome.repeated,
                f"{key_of(request)} ends as {outcome.kind.value} after {result.attempts} of {retries + 1} attempts",
            )
        if outcome.kind in (FailureKind.OVERLOADED, FailureKind.EXPIRED):
            since = self.opened_at
            if outcome.kind is FailureKind.EXPIRED:
                since = max(since, self.served_at.get(request.unit, since))
            waited_s = awake_s(session) - since
            most_s = next(rows.batch.max_wait_s for rows in self.world.batches if rows.batch.id == request.batch)
            check(waited_s >= most_s - BEAT_S, f"{key_of(request)} was given up after {waited_s:.1f} of {most_s} s")
        truth = self.world.truths[request.batch, request.position]
        if outcome.kind is FailureKind.TOO_LONG:
            needed = truth.prompt_tokens + max(truth.output_tokens, request.max_tokens or 0)
            check(needed > 1024, f"{key_of(request)} was not too long")

    def _move(self, key: Key, to: State) -> None:
        """Only transitions of the table happen."""
        was = self.state.get(key, State.WAITING)
        if was is not to:
            check(to in TRANSITIONS[was], f"{key} went from {was} to {to}")
            self.seen[f"{was} -> {to}"] += 1
        self.state[key] = to

    def _stuck(self, session: Session) -> str:
        scheduler = session.scheduler
        waiting = {unit.model: count for unit, count in scheduler._waiting.units.items()}
        members = {
            member.name: (member.phase.value, member.health.ejected, member.in_flight) for member in scheduler.fleet
        }
        return f"waiting {waiting}, in flight {scheduler.in_flight}, members {members}"

    def _digest(self, *what: object) -> None:
        self.plans.update(repr(what).encode())
