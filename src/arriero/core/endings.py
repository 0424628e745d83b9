"""Endings: what the end of an attempt teaches, and how its request goes on or ends."""

from __future__ import annotations

from random import Random

from msgspec import structs

from arriero.core.books import Books
from arriero.core.delays import Delays
from arriero.core.events import AttemptEnded, AttemptFailed, AttemptRefunded, Noted
from arriero.core.fleet import Fleet
from arriero.core.flight import Flight, Running, Why
from arriero.core.member import Member, Phase
from arriero.core.outcome import INSTANCE_FAULTS, Failure, FailureKind, Success
from arriero.core.plan import Plan
from arriero.core.policies.limit import sample
from arriero.core.policies.predict import Lengths
from arriero.core.queue import Open
from arriero.core.request import BatchId, Result, Unit
from arriero.core.upkeep import Upkeep
from arriero.core.verdict import GATEWAY_FORGIVEN, Verdict, blames_instance, judge_failure, judge_success, refund
from arriero.core.waiting import Waiting


class Endings:
    """Takes in the one end of each attempt; the only place where a request ends.

    Attributes:
        delays: Requests that may be sent again later.
    """

    def __init__(
        self,
        fleet: Fleet,
        books: Books,
        waiting: Waiting,
        flight: Flight,
        upkeep: Upkeep,
        lengths: Lengths,
        random: Random,
    ) -> None:
        self._fleet = fleet
        self._books = books
        self._waiting = waiting
        self._flight = flight
        self._upkeep = upkeep
        self._lengths = lengths
        self._random = random
        self.delays = Delays()

    def wake(self, now: float) -> None:
        """Requests whose delay is over wait again."""
        for entry in self.delays.due(now):
            self._wait(entry)

    def shift(self, gap_s: float) -> None:
        """Nobody refused a request while the whole process was away: that time is no part of ``--max-wait``."""
        runs = (run.entry for run in self._flight if run.entry is not None)
        for entry in (*self._waiting, *self.delays, *runs):
            if entry.overloaded_since is not None:
                entry.overloaded_since += gap_s

    def ended(self, plan: Plan, event: AttemptEnded, now: float) -> None:
        """An attempt is over; a second end of it is dropped and counted."""
        running = self._flight.ended(event.attempt)
        if running is None:
            plan.notices.append(Noted("late", at=now))
            return
        member, unit = running.member, running.attempt.unit
        if unit is not None:
            limit = self._fleet.limit(member, unit)
            limit.ended(event.attempt, event.at, sample(event.outcome))
            self._upkeep.remind(member, limit.next_change(now))
        if running.entry is None:
            self._upkeep.ended(member, running.attempt, event.outcome, now)
        else:
            self._request_ended(plan, running, running.entry, event, now)
        if member.phase is not Phase.LEFT:
            self._fleet.touch(member, now)
            self._upkeep.freed(member, now)

    def take_back(self, plan: Plan, member: Member, *, begun: bool) -> None:
        """Ask for the end of what runs on a member, so that it can go elsewhere; what has begun only if asked."""
        self._ask(plan, [run for run in self._flight if run.member is member and (begun or not run.began)], "moved")

    def stop_upkeep(self, plan: Plan) -> None:
        """Nothing new will start, so nothing needs to be loaded or probed."""
        self._ask(plan, [run for run in self._flight if run.entry is None], "aborted")

    def call_back(self, plan: Plan) -> None:
        """While a batch drains, leave what waits for a slot for the resume; which that is may show only later."""
        self._ask(plan, self._flight.parked(), "aborted")

    def abort(self, plan: Plan) -> None:
        """Ask for the end of everything; the requests make no result and are redone on resume."""
        self._ask(plan, list(self._flight), "aborted")

    def cancel_batch(self, plan: Plan, batch: BatchId, now: float) -> None:
        """End everything of a batch as ``cancelled``; what runs ends when its engine says so."""
        self._books[batch].cancelled = True
        mine = [run for run in self._flight if run.entry is not None and run.entry.request.batch == batch]
        self._ask(plan, mine, "cancelled")
        for entry in self._waiting.clear(batch) + self.delays.clear(batch):
            self._finish(plan, entry, Failure(kind=FailureKind.CANCELLED), None, now)

    def end_impossible(self, plan: Plan, now: float) -> None:
        """End what waits for a unit that every instance has refused: no one has the model, or can load it."""
        for unit in tuple(self._waiting.units):
            if self._fleet.hopeless(unit):
                self._end_unit(plan, unit, self._why_impossible(unit), now)

    def expire(self, plan: Plan, unit: Unit, now: float) -> None:
        """End what waits for a unit that no usable instance has served for ``--max-wait``."""
        detail = f"no instance that serves {unit.model} was usable"
        self._end_unit(plan, unit, Failure(kind=FailureKind.EXPIRED, detail=detail), now)

    def _end_unit(self, plan: Plan, unit: Unit, failure: Failure, now: float) -> None:
        for entry in self._waiting.drop(unit):
            self._finish(plan, entry, failure, None, now)

    def refuse(self, plan: Plan, entry: Open, now: float) -> None:
        """End a request with images whose model cannot see."""
        detail = f"{entry.request.unit.model} cannot see images"
        self._finish(plan, entry, Failure(kind=FailureKind.UNSUPPORTED, detail=detail), None, now)

    def _request_ended(self, plan: Plan, running: Running, entry: Open, event: AttemptEnded, now: float) -> None:
        outcome = event.outcome
        account = self._books[entry.request.batch]
        account.running -= 1
        if isinstance(outcome, Success):
            self._learn(plan, running, entry, outcome, now)
            verdict = judge_success(entry, running.attempt, outcome)
        elif isinstance(outcome, Failure) and not (outcome.kind is FailureKind.CANCELLED and running.why):
            verdict = self._failed(plan, running, entry, outcome, now)
        else:
            self._given_back(plan, running, entry, now)
            return
        if account.cancelled and verdict.end is None:
            verdict = structs.replace(verdict, end=Failure(kind=FailureKind.CANCELLED))
        if verdict.failure is not None:
            self._tell_failure(plan, running, verdict, verdict.failure, now)
        if verdict.end is not None:
            self._finish(plan, entry, verdict.end, running, now)
        elif entry.crashes:
            self._waiting.push_suspect(entry)
        else:
            self.delays.push(entry, now + verdict.wait_s)

    def _learn(self, plan: Plan, running: Running, entry: Open, success: Success, now: float) -> None:
        """A success teaches length, speed and trust."""
        member, unit = running.member, entry.request.unit
        limit = self._fleet.limit(member, unit)
        pace = self._fleet.pace(member, unit)
        pace.observe(success, min(member.in_flight + 1, limit.slots), parked=member.in_flight + 1 > limit.slots)
        self._lengths.observe(entry.request, success.usage, success.finish_reason)
        if limit.in_one_piece and "replies_in_one_piece" not in member.noted:
            member.noted.add("replies_in_one_piece")
            plan.notices.append(Noted("replies_in_one_piece", member.name, now))
        self._fleet.learned(member, unit)
        member.health.succeeded(now, limit.limit(now))
        member.answered_at = now
        if member.streak:
            member.streak.clear()
        if member.dropped:
            self._upkeep.back(member)
        entry.crashes = 0

    def _failed(self, plan: Plan, running: Running, entry: Open, failure: Failure, now: float) -> Verdict:
        """A failure teaches trust; if it takes the instance out, or comes when it is out already, it is refunded."""
        member, unit = running.member, entry.request.unit
        if failure.kind is FailureKind.MODEL_MISSING:
            self._upkeep.refuse(member, unit, failure.kind, now)
        if member.health.gateway:  # a connection that it drops says nothing about a model process behind it
            failure = structs.replace(failure, crashed=False)
        member.dropped |= failure.kind is FailureKind.UNREACHABLE
        faults = failure.kind in INSTANCE_FAULTS
        blamed = not faults or blames_instance(entry, member.name, member.answered_at, failure.kind)
        forgiven = member.phase is Phase.LEFT or member.health.down(now) or (faults and self._behind(member, entry))
        if member.phase is not Phase.LEFT and blamed:
            forgiven = self._distrust(plan, member, unit, failure, now) or forgiven
        verdict = judge_failure(
            entry,
            running.attempt,
            failure,
            self._books[entry.request.batch].batch,
            forgiven=forgiven,
            elsewhere=self._fleet.others(unit, entry.failed_on | {member.name}),
            now=now,
            random=self._random,
        )
        if verdict.charged and blamed:
            member.streak.append((entry, running.attempt))
        return verdict

    def _behind(self, member: Member, entry: Open) -> bool:
        """Whether the failure is taken for that of a server behind a gateway which answers others."""
        most = GATEWAY_FORGIVEN * self._books[entry.request.batch].batch.retries
        return member.health.gateway and member.answered_at is not None and entry.forgiven < most

    def _distrust(self, plan: Plan, member: Member, unit: Unit, failure: Failure, now: float) -> bool:
        """Tell the instance's health; whether that took it out of use. What it charged since a success is refunded then."""
        service_s = self._fleet.pace(member, unit).service_s
        if not member.health.failed(
            failure.kind, now, service_s, retry_after_s=failure.retry_after_s, began=failure.began
        ):
            self._upkeep.remind(member, member.health.next_change(now))
            return False
        plan.notices += [AttemptRefunded(attempt, now) for entry, attempt in member.streak if refund(entry)]
        member.streak.clear()
        self._upkeep.ejected(member, failure, now)
        if not member.health.gateway:  # what waits behind a gateway may well be with a server that works
            self.take_back(plan, member, begun=False)
        return True

    def _given_back(self, plan: Plan, running: Running, entry: Open, now: float) -> None:
        """Its end was asked for: it goes elsewhere, is left for the resume, or is cancelled with its batch."""
        if running.why == "cancelled" or self._books[entry.request.batch].cancelled:
            self._finish(plan, entry, Failure(kind=FailureKind.CANCELLED), running, now)
        else:
            entry.attempts -= running.why == "aborted"
            self._wait(entry)

    def _wait(self, entry: Open) -> None:
        """It waits again; one under which a model process went down, for an instance of its own."""
        if entry.crashes:
            self._waiting.push_suspect(entry)
        else:
            self._waiting.push(entry, again=True)

    def _finish(self, plan: Plan, entry: Open, end: Success | Failure, running: Running | None, now: float) -> None:
        result = Result(
            request=entry.request,
            outcome=end,
            instance=running.member.name if running else "",
            attempt=running.attempt.id if running else 0,
            attempts=entry.attempts,
            ended_at=now,
        )
        self._books.ended(result)
        plan.results.append(result)

    def _tell_failure(self, plan: Plan, running: Running, verdict: Verdict, failure: Failure, now: float) -> None:
        wait_s = None if verdict.end is not None else verdict.wait_s
        plan.notices.append(AttemptFailed(running.attempt, failure.kind, failure.detail, verdict.charged, wait_s, now))

    def _why_impossible(self, unit: Unit) -> Failure:
        """The reason of the first that has the model and cannot serve it, else that none has it."""
        for member in self._fleet:
            kind = member.refused.get(unit, FailureKind.MODEL_MISSING)
            if kind is not FailureKind.MODEL_MISSING:
                return Failure(kind=kind, detail=f"no instance can serve {unit.model}")
        detail = f"no instance has {unit.model}" if unit.model else "the row names no model, and no -m does"
        return Failure(kind=FailureKind.MODEL_MISSING, detail=detail)

    def _ask(self, plan: Plan, runs: list[Running], why: Why) -> None:
        for run in runs:
            if not run.why or why != "moved":
                run.why = why
                plan.cancel.append(run.attempt.id)
