"""Dispatch: fills free places with what waits, and tries suspects alone."""

from __future__ import annotations

from arriero.core.books import Books
from arriero.core.events import AttemptStarted, Noted
from arriero.core.fleet import Fleet
from arriero.core.flight import Flight
from arriero.core.member import Member
from arriero.core.plan import Plan
from arriero.core.policies.pick import pick
from arriero.core.policies.predict import Estimate, Lengths, room_tokens
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.queue import Open, UnitQueue
from arriero.core.request import Attempt, BatchId, Unit
from arriero.core.waiting import Waiting


class Dispatch:
    """Starts requests: on the best instance with room, in the order the policies give; suspects alone."""

    def __init__(
        self, fleet: Fleet, books: Books, waiting: Waiting, flight: Flight, lengths: Lengths, timeout: TimeoutPolicy
    ) -> None:
        self._fleet = fleet
        self._books = books
        self._waiting = waiting
        self._flight = flight
        self._lengths = lengths
        self._timeout = timeout
        self._cells: dict[Unit, Member] = {}
        self._context_unknown_told = False

    def fill(self, plan: Plan, now: float) -> list[Open]:
        """Start whatever can start now.

        Returns:
            Requests that were taken but cannot be served by the unit they name: they have to end.
        """
        unserved: list[Open] = []
        if self._waiting.suspects or self._cells:
            self._try_alone(plan, now)
        blocked: set[Unit] = set()
        passed: set[tuple[BatchId, Unit]] = set()
        skipped: list[Member] = []
        skipped_for: tuple[BatchId, Unit] | None = None
        total = self._fleet.total
        while total is None or self._fleet.in_flight < total:
            lead = self._waiting.lead(blocked, passed)
            if lead is None:
                break
            queue, unit = lead
            if skipped and skipped_for != (queue.batch.id, unit):
                self._again(skipped, now)
            member = self._fleet.best(unit, now)
            if member is None and skipped:
                passed.add((queue.batch.id, unit))
                self._again(skipped, now)
            elif member is None:
                blocked.add(unit)
            else:
                entry = self._pick(member, queue.units[unit], unit)
                if entry is None:
                    self._fleet.skip(unit)
                    skipped.append(member)
                    skipped_for = (queue.batch.id, unit)
                elif self._take(plan, member, entry, now) is None:
                    unserved.append(entry)
        self._again(skipped, now)
        return unserved

    def _again(self, skipped: list[Member], now: float) -> None:
        """What was left out for one batch has room for the next."""
        for member in skipped:
            self._fleet.touch(member, now)
        skipped.clear()

    def _take(self, plan: Plan, member: Member, entry: Open, now: float) -> Attempt | None:
        """Start what was picked; None if its model is known to be unable to."""
        estimate = self._lengths.estimate(entry.request)
        self._waiting.taken(entry, estimate.output_tokens)
        if entry.request.needs_vision and member.blind(entry.request.unit):
            return None
        return self._start(plan, member, entry, estimate, now)

    def _pick(self, member: Member, queue: UnitQueue, unit: Unit) -> Open | None:
        return pick(
            member,
            queue,
            answered=self._fleet.pace(member, unit).answers > 0,
            stranded=lambda failed_on: not self._fleet.others(unit, failed_on),
        )

    def _start(self, plan: Plan, member: Member, entry: Open, estimate: Estimate, now: float) -> Attempt:
        request = entry.request
        pace = self._fleet.pace(member, request.unit)
        limit = self._fleet.limit(member, request.unit)
        max_tokens = request.max_tokens if entry.room_tokens is None else entry.room_tokens
        if max_tokens is None:
            max_tokens, unknown = room_tokens(member.context_tokens(request.unit), request, self._lengths)
            if unknown and not self._context_unknown_told:
                self._context_unknown_told = True
                plan.notices.append(Noted("context_unknown", at=now))
        timeouts = self._timeout.timeouts(
            size_chars=request.size_chars,
            request_timeout_s=request.timeout_s,
            estimate=estimate,
            pace=pace,
            parked=max(0, member.in_flight + 1 - limit.slots),
            gateway=member.kind == "gateway",
            in_flight=min(member.in_flight + 1, limit.slots),
            stream=member.instance.stream,
            timed_out=entry.timed_out,
        )
        self._books[request.batch].running += 1
        attempt = self._flight.send_request(member, entry, now, timeouts=timeouts, max_tokens=max_tokens)
        plan.start.append(attempt)
        plan.notices.append(AttemptStarted(attempt, now))
        return attempt

    def _try_alone(self, plan: Plan, now: float) -> None:
        """Give each unit's suspects one instance, which drains and then serves them one at a time."""
        for unit, member in tuple(self._cells.items()):
            if unit not in self._waiting.suspects or not member.serves(unit):
                member.alone = member.alone and member.in_flight > 0 and member.serves(unit)
                if not member.alone:
                    del self._cells[unit]
                    self._fleet.touch(member, now)
        for unit, entries in tuple(self._waiting.suspects.items()):
            cell = self._cells.get(unit) or self._reserve(unit, entries[0], now)
            total = self._fleet.total
            within = total is None or self._fleet.in_flight < total
            if cell is not None and within and cell.in_flight == 0 and not cell.health.closed(now):
                entry = self._waiting.take_suspect(unit)
                self._start(plan, cell, entry, self._lengths.estimate(entry.request), now)

    def _reserve(self, unit: Unit, entry: Open, now: float) -> Member | None:
        """The least busy instance that serves the unit, if possible one where the request has not failed."""
        serving = [member for member in self._fleet if member.serves(unit) and not member.alone]
        if not serving:
            return None
        member = min(serving, key=lambda one: (one.name in entry.failed_on, one.in_flight, one.index))
        member.alone = True
        self._cells[unit] = member
        self._fleet.touch(member, now)
        return member
