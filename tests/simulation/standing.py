"""Standing: what must hold in the scheduler's books after every turn."""

from __future__ import annotations

from collections import Counter
from math import inf

from broken import check

from arriero.core.flight import Running
from arriero.core.member import Member
from arriero.core.outcome import Failure
from arriero.core.request import Attempt, AttemptId, Result, Unit
from arriero.simulator.feed import Key, key_of
from arriero.simulator.session import Session, Watch

LEFT_ALONE_MOST_S = 300.0
"""No instance is left alone for longer: a server may ask for five minutes, a probe waits for one."""


class Standing(Watch):
    """Compares the scheduler's books with its own, which whoever inherits it keeps.

    Attributes:
        open: Attempts in flight.
        lives: Where each attempt runs or ran, by the number of its instance.
        ended: Results of this life.
        charged: Attempts that were told as charged, by request.
        sent: How often each request was sent.
        started: What was started in this turn.
    """

    open: dict[AttemptId, Attempt]
    lives: dict[AttemptId, int]
    ended: dict[Key, Result]
    charged: Counter[Key]
    sent: Counter[Key]
    started: list[Attempt]

    def _flight_adds_up(self, session: Session) -> None:
        """In flight by the scheduler's books is what the engine carries, member by member."""
        scheduler = session.scheduler
        flight: dict[AttemptId, Running] = scheduler._flight._running
        check(flight.keys() == self.open.keys(), "in flight is not what the engine carries")
        here: dict[int, set[AttemptId]] = {}
        for attempt_id, index in self.lives.items():
            if attempt_id in self.open:
                here.setdefault(index, set()).add(attempt_id)
        for member in scheduler.fleet:
            check(
                set(member.running) == here.get(member.index, set()),
                f"{member.name} is booked with {len(member.running)}, {len(here.get(member.index, ()))} run there",
            )
        requests = sum(one.request is not None for one in self.open.values())
        check(scheduler.fleet.in_flight == requests, f"fleet counts {scheduler.fleet.in_flight} of {requests}")
        now = session.engine.now()
        for member in scheduler.fleet:
            alone_s = member.health.next_change(now) - now
            check(
                alone_s == inf or alone_s <= LEFT_ALONE_MOST_S, f"P6: {member.name} is left alone for {alone_s:.0f} s"
            )
        usable = sum(member.usable for member in scheduler.fleet)
        check(scheduler.fleet.usable == usable, f"fleet counts {scheduler.fleet.usable} usable, {usable} are")

    def _books_add_up(self, session: Session) -> None:
        """What was added waits, is delayed, is suspected, runs or has ended."""
        scheduler = session.scheduler
        delayed = Counter(entry.request.batch for entry in scheduler._endings.delays)
        suspects = [entry for entries in scheduler._waiting.suspects.values() for entry in entries]
        suspected = Counter(entry.request.batch for entry in suspects)
        running = Counter(one.request.batch for one in self.open.values() if one.request is not None)
        units = Counter(entry.request.unit for entry in suspects)
        for number in session.feeds:
            account, queue = scheduler.books[number], scheduler._waiting[number]
            waiting = [entry for entries in queue.units.values() for entry in entries]
            for entry in waiting:
                units[entry.request.unit] += 1
                told = self.charged[key_of(entry.request)]
                check(entry.charged == told, f"{key_of(entry.request)} is charged {entry.charged}, {told} were told")
                most = max(account.batch.retries, entry.request.attempts_used)
                check(entry.charged <= most, f"{key_of(entry.request)} waits with no attempt left")
                check(entry.charged >= 0, f"{key_of(entry.request)} was refunded more than it was charged")
            check(len(waiting) == queue.count, f"the index counts {queue.count}, {len(waiting)} wait")
            mine = [entry for entry in suspects if entry.request.batch == number]
            late = [entry for entry in scheduler._endings.delays if entry.request.batch == number]
            size = sum(entry.request.size_bytes for entry in (*waiting, *mine, *late))
            room = max(0, account.batch.window_bytes - size)
            told = scheduler.room_bytes(number)
            check(told == room, f"P7: the window has room for {told} bytes by the books, for {room} in truth")
            check(account.running == running[number], f"{account.running} run by the books, {running[number]} do")
            check(
                account.waiting == len(waiting) + delayed[number] + suspected[number],
                f"batch {number}: {account.waiting} wait by the books, {len(waiting)} + {delayed[number]} + "
                f"{suspected[number]} do",
            )
            ended = sum(key[0] == number for key in self.ended) - self._unsent(number)
            check(account.added == account.open + ended, f"batch {number}: added {account.added}, ended {ended}")
            window = account.batch.window_requests
            check(
                account.waiting <= window + scheduler.in_flight + len(self.sent), f"the window holds {account.waiting}"
            )
        check(dict(units) == scheduler._waiting.units, "requests by unit do not add up")

    def _nothing_idles(self, session: Session, now: float) -> None:
        """No place stands open that something waiting may take: every instance is kept full."""
        scheduler = session.scheduler
        total = scheduler.fleet.total
        full = total is not None and scheduler.fleet.in_flight >= total
        if scheduler.draining or scheduler._paused_by or full:
            return
        for member in scheduler.fleet:
            for unit in scheduler._waiting.units:
                if not member.serves(unit) or self._places(session, member, unit, now) <= 0:
                    continue
                able = [
                    entry
                    for queue in (scheduler._waiting[number] for number in session.feeds)
                    for entry in queue.units.get(unit, ())
                    if member.name not in entry.failed_on or not scheduler.fleet.others(unit, entry.failed_on)
                ]
                check(not able, f"{member.name} has room, yet {len(able)} that may go there wait")

    def _places(self, session: Session, member: Member, unit: Unit, now: float) -> int:
        """Free places of a member for a unit, by our own count of what runs there."""
        fleet = session.scheduler.fleet
        here = sum(self.lives[attempt_id] == member.index for attempt_id in self.open)
        bounds = (fleet.limit(member, unit).limit(now), member.health.cap(), fleet._share())
        most = min(bound for bound in bounds if bound is not None)
        return 0 if member.alone else most - here - member.health.closed(now)

    def _classes_are_strict(self, session: Session) -> None:
        """Nothing of a lower class was started while a higher one, never sent before, waits for the same unit."""
        scheduler = session.scheduler
        for attempt in self.started:
            row = attempt.request
            if row is None or scheduler.fleet[attempt.instance].alone:
                continue
            mine = scheduler.books[row.batch].batch.priority + row.priority
            for number in session.feeds:
                higher = [
                    entry
                    for entry in scheduler._waiting[number].units.get(attempt.unit, ())
                    if scheduler.books[number].batch.priority + entry.request.priority > mine and not entry.failed_on
                ]
                check(not higher, f"{key_of(row)} of class {mine} goes before {len(higher)} of a higher one")

    def _unsent(self, batch: int) -> int:
        """Rows of a batch that ended without ever being handed to the scheduler."""
        return sum(
            key[0] == batch and isinstance(result.outcome, Failure) and result.outcome.detail == "bad row"
            for key, result in self.ended.items()
        )
