"""Flight: the attempts that run now, from start to their one end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from arriero.core.fleet import Fleet
from arriero.core.instance import BackendName
from arriero.core.member import Member
from arriero.core.queue import Open
from arriero.core.request import Attempt, AttemptId, Timeouts, Unit
from arriero.core.step import Step

Why: TypeAlias = Literal["", "moved", "aborted", "cancelled"]
"""Why we asked for an attempt's end: to send it elsewhere, to stop, or because its batch was cancelled."""


class Running:
    """One attempt in flight.

    Attributes:
        attempt: The attempt.
        member: Where it runs.
        entry: Its request; None for upkeep.
        began: Its first token has arrived.
        why: Why its end was asked for; ``""`` if it was not.
    """

    __slots__ = ("attempt", "began", "entry", "member", "why")

    def __init__(self, attempt: Attempt, member: Member, entry: Open | None) -> None:
        self.attempt = attempt
        self.member = member
        self.entry = entry
        self.began = False
        self.why: Why = ""


class Flight:
    """Owner of everything that runs; gives attempts their ids."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._running: dict[AttemptId, Running] = {}
        self._last_id = 0

    def __iter__(self) -> Iterator[Running]:
        return iter(tuple(self._running.values()))

    def __len__(self) -> int:
        return len(self._running)

    def parked(self) -> list[Running]:
        """What waits on its instance while others hold the slots: beyond their number, not begun, the newest first.

        Only where first tokens are told: elsewhere nobody knows what has begun.
        """
        groups: dict[tuple[str, Unit], list[Running]] = {}
        for run in self._running.values():
            if run.attempt.request is not None:
                groups.setdefault((run.member.name, run.attempt.request.unit), []).append(run)
        parked: list[Running] = []
        for (_, unit), runs in groups.items():
            member = runs[0].member
            limit = self._fleet.limit(member, unit)
            beyond = sum(not run.why for run in runs) - limit.slots
            if beyond > 0 and limit.streams and member.instance.stream:
                parked += [run for run in reversed(runs) if not run.began and not run.why][:beyond]
        return parked

    def send_request(self, member: Member, entry: Open, now: float, *, timeouts: Timeouts, max_tokens: int) -> Attempt:
        """A request goes to a member.

        Args:
            member: Where.
            entry: The request; its attempts are counted up.
            now: Monotonic seconds.
            timeouts: When the engine gives up.
            max_tokens: Output tokens at most.
        """
        entry.attempts += 1
        self._last_id += 1
        request = entry.request
        attempt = Attempt(
            id=self._last_id,
            instance=member.name,
            backend=member.backend,
            unit=request.unit,
            request=request,
            number=entry.attempts,
            max_tokens=max_tokens,
            timeouts=timeouts,
            context_tokens=member.context_tokens(request.unit),
            endpoint=member.endpoint,
            stream=member.instance.stream,
        )
        return self._begin(attempt, member, entry, now)

    def send_step(
        self, member: Member, step: Step, dialect: BackendName, now: float, *, timeouts: Timeouts, endpoint: str
    ) -> Attempt:
        """Upkeep goes to a member.

        Args:
            member: Where.
            step: What for.
            dialect: How it is said.
            now: Monotonic seconds.
            timeouts: When the engine gives up.
            endpoint: The path that its unit's requests go to; a member that serves only one goes before it.
        """
        self._last_id += 1
        attempt = Attempt(
            id=self._last_id,
            instance=member.name,
            backend=dialect,
            purpose=step.purpose,
            subject=step.subject,
            unit=step.unit,
            timeouts=timeouts,
            endpoint=member.endpoint or endpoint,
            stream=member.instance.stream,
        )
        return self._begin(attempt, member, None, now)

    def began(self, attempt: AttemptId) -> Running | None:
        """The first token of an attempt arrived; None if it is not known (it has ended)."""
        running = self._running.get(attempt)
        if running is not None:
            running.began = True
        return running

    def ended(self, attempt: AttemptId) -> Running | None:
        """An attempt is over; None if it is not known: a second end, which is dropped."""
        running = self._running.pop(attempt, None)
        if running is not None:
            self._fleet.ended(running.member, running.attempt)
        return running

    def _begin(self, attempt: Attempt, member: Member, entry: Open | None, now: float) -> Attempt:
        self._running[attempt.id] = Running(attempt, member, entry)
        self._fleet.started(member, attempt, now)
        return attempt
