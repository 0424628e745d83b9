"""Upkeep: discovery, loading, unloading and probing, so that instances can serve what waits."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal

from arriero.core import discover
from arriero.core.assignment import Assignment, steps_to
from arriero.core.builds import Builds
from arriero.core.events import READMITTED, InstanceChanged, Noted, Notice, UpkeepEnded
from arriero.core.fleet import Fleet
from arriero.core.instance import BackendName
from arriero.core.member import Member, Phase
from arriero.core.outcome import HARD_FAULTS, INSTANCE_FAULTS, Failure, FailureKind, Outcome, Success
from arriero.core.policies.health import ALL_PLACES
from arriero.core.reminders import Reminders
from arriero.core.request import Attempt, Unit
from arriero.core.step import Step
from arriero.core.waiting import Waiting

LOAD_AGAIN_S = 2.0
"""Pause after a load was refused as overloaded: the server is loading something else."""

NOT_UNDERSTOOD = Failure(kind=FailureKind.BAD_REPLY)

AWAITED_S = 60.0
"""A fixed total is dealt out evenly for so long while an instance loads; a load may take ten minutes, or hang."""

Send = Callable[[Member, Step, BackendName, float], None]
"""Starts a step on a member in a dialect, at a time."""


class Upkeep:
    """Keeps instances discovered, loaded and probed; owns their timers.

    Every step is an attempt like any other: ``send`` makes it, the scheduler tells its end. A member does one step at a time.
    """

    def __init__(self, fleet: Fleet, waiting: Waiting, send: Send, tell: Callable[[Notice], None]) -> None:
        self._fleet = fleet
        self._waiting = waiting
        self._send = send
        self._tell = tell
        self._reminders = Reminders()
        self._stopped = False
        self._attended: dict[str, Member] = {}
        self._busy: set[Member] = set()  # by object: one that came back under its name is another
        self._assignment = Assignment(fleet)
        self._builds = Builds(tell)
        self._gateways: dict[str, Member] = {}
        self._ready: dict[str, Member] = {}

    @property
    def wake_at(self) -> float:
        """When something is due; ``inf`` for never."""
        return self._reminders.wake_at

    def joined(self, member: Member, now: float) -> None:
        """A new member is asked what it is."""
        self._tell(InstanceChanged(member.name, "joining", at=now))
        self.attend(member)

    def left(self, member: Member, now: float) -> None:
        """A member is gone."""
        member.phase = Phase.LEFT
        for known in (self._gateways, self._ready):
            known.pop(member.name, None)
        self._reminders.drop(member.name)
        self._assignment.left(member)
        self._tell(InstanceChanged(member.name, "left", at=now))

    def stop(self) -> None:
        """Nothing is started any more."""
        self._stopped = True

    def freed(self, member: Member, now: float) -> None:
        """A place is free on a member; once all are it may change its unit."""
        if not member.in_flight and member.single and member.phase is Phase.READY:
            self._assignment.rest(member)
        if member.todo or member.health.ejected:
            self.attend(member)

    def wake(self, now: float) -> None:
        """Attend to every member whose time has come."""
        for member in filter(None, map(self._fleet.get, self._reminders.due(now))):
            member.slow = now >= member.slow_at
            self.attend(member)
            self._fleet.touch(member, now)
            again_at = member.health.next_change(now)
            if again_at > now:  # what is due already was attended to, or waits for an end that comes back here
                self.remind(member, again_at)

    def remind(self, member: Member, at: float) -> None:
        """Attend to the member again at a time."""
        self._reminders.set(member.name, at)

    def attend(self, member: Member) -> None:
        """Look at the member in this turn: a step may be due."""
        self._attended[member.name] = member

    def act(self, now: float) -> None:
        """Start the next step of every member that was attended to, if one is due and can start."""
        while self._attended:
            self._begin(self._attended.pop(next(iter(self._attended))), now)

    def _begin(self, member: Member, now: float) -> None:
        if self._stopped or member.phase is Phase.LEFT or member in self._busy:
            return
        if member.health.closed(now) >= ALL_PLACES and member.health.next_change(now) > now:
            self.remind(member, member.health.next_change(now))
            return
        due = self._due(member)
        if due is None:
            return
        dialect, step = due
        if step.purpose in ("unload", "preload") and member.in_flight:
            return  # it drains first; ``freed`` comes back here
        if step.unit is not None and member.in_flight >= self._fleet.limit(member, step.unit).limit(now):
            return  # P10; the same
        self._busy.add(member)
        self._send(member, step, dialect, now)

    def assign(self, now: float) -> None:
        """Give units to instances that hold none that is wanted, and let gateways prove those they were not asked for."""
        units = self._waiting.units
        if not units:
            return
        for member in self._gateways.values():
            for unit in units:
                if member.can_serve(unit) and unit not in member.loaded and not member.todo:
                    member.todo.append(Step("probe", unit=unit))
                    self.attend(member)
        for member, unit in self._assignment.due(units):
            self._give(member, unit, now)

    def ended(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """A step is over: take in what it tells, and go on with the next."""
        self._busy.discard(member)
        kind = outcome.kind if isinstance(outcome, Failure) else None
        latency_s = outcome.timing.latency_s if isinstance(outcome, Success) else outcome.latency_s
        self._tell(UpkeepEnded(attempt, kind, latency_s, now))
        if kind is FailureKind.CANCELLED or member.phase is Phase.LEFT:
            return
        if attempt.purpose == "discover":
            self._discovered(member, attempt, outcome, now)
        elif attempt.purpose == "unload":
            member.loaded.discard(attempt.unit or Unit(""))
            member.todo.pop(0)
        elif isinstance(outcome, Failure):
            self._load_failed(member, attempt, outcome, now)
        else:
            self._generated(member, attempt, outcome, now)
        self._settle(member, now)
        self.attend(member)

    def eject(self, member: Member, failure: Failure, now: float) -> None:
        """Take a member out until a probe passes; a failed probe waits twice as long."""
        if member.health.ejected:
            member.health.probe_failed(now)
        else:
            member.health.eject(now, failure.kind)
        self.ejected(member, failure, now)

    def ejected(self, member: Member, failure: Failure, now: float) -> None:
        """A member was taken out (by its health or by ``eject``): say so, and remember to probe it."""
        member.fault = member.reason = failure.kind.value
        member.detail = failure.reason
        self._fleet.touch(member, now)
        self._assignment.count(member)
        again_at = member.health.next_change(now)
        probe_in_s = again_at - now
        state: Literal["ejected", "paused"] = "ejected" if member.health.ejected else "paused"
        self._tell(InstanceChanged(member.name, state, member.reason, member.ready_for, probe_in_s, now, member.detail))
        self.remind(member, again_at)

    def _due(self, member: Member) -> tuple[BackendName, Step] | None:
        """The next step, and the dialect to speak."""
        if member.phase is Phase.JOINING:
            return discover.question(member)
        if member.todo:
            return member.backend, member.todo[0]
        if not member.health.ejected:
            return None
        unit = member.ready_for or next(iter(member.loaded), None) or next(iter(self._waiting.units), None)
        if unit is not None and member.can_serve(unit) and unit.model:
            return member.backend, Step("probe", unit=unit)
        return member.backend, Step("discover", "version" if member.backend == "ollama" else "models")

    def _give(self, member: Member, unit: Unit, now: float) -> None:
        """Assign a unit: unload what this process loaded there, load the new one, ask what it holds."""
        member.todo += steps_to(member, unit)
        self._assignment.hold(member, unit)
        member.ready_for = None
        if self._fleet.total is not None:
            member.slow, member.slow_at = False, now + AWAITED_S
            self.remind(member, member.slow_at)
        self._fleet.touch(member, now)
        self._tell(InstanceChanged(member.name, "loading", unit=unit, at=now))
        self.attend(member)

    def _discovered(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        if member.phase is Phase.JOINING:
            if not discover.answered(member, attempt, outcome):
                self.eject(member, outcome if isinstance(outcome, Failure) else NOT_UNDERSTOOD, now)
                return
        elif attempt.subject == "models" and attempt.unit is not None:
            member.todo.pop(0)
            self._builds.listed(member, outcome, now)
            return
        elif attempt.subject in ("resident", "details"):
            member.todo.pop(0)
            if member.todo and member.todo[0].purpose == "preload":
                member.ours = discover.shows(member, member.todo[0].unit or Unit(""), outcome) is False
            else:
                discover.told(member, attempt, outcome)
            return
        elif isinstance(outcome, Failure):
            self.eject(member, outcome, now)
            return
        self._readmit(member, now)

    def _readmit(self, member: Member, now: float) -> None:
        """A probe passed: the member comes back, one request first."""
        if member.health.ejected:
            member.health.probe_passed(now)
            self._assignment.count(member)
            member.reason = member.detail = member.fault = ""
            self._tell(InstanceChanged(member.name, "ok", READMITTED, member.ready_for, at=now))
            self.back(member)

    def back(self, member: Member) -> None:
        """It answers again after an outage or a connection that failed: ask which build of its model it has now."""
        member.dropped = False
        if member.ready_for is not None and self._builds.doubts(member):
            member.todo.append(Step("discover", "models", member.ready_for))
            self.attend(member)

    def _generated(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """A preload or a probe passed."""
        unit = attempt.unit
        if unit is None or not isinstance(outcome, Success):
            return
        if member.on_trial:
            member.on_trial = False
            self._tell(Noted("generate_only", member.name, now))
        if attempt.purpose == "preload" and member.ours:  # what was resident took no time to load
            self._fleet.pace(member, unit).observe(outcome, 1)
        if attempt.purpose != "preload" or member.ours:
            member.loaded.add(unit)
        if member.todo and member.todo[0].unit == unit and member.todo[0].purpose == attempt.purpose:
            member.todo.pop(0)
        self._readmit(member, now)
        self._fleet.touch(member, now)

    def _load_failed(self, member: Member, attempt: Attempt, failure: Failure, now: float) -> None:
        """A preload or a probe failed."""
        kind = failure.kind
        if member.kind == "gateway" and discover.tries_generate(member, attempt, kind):
            return
        if kind is FailureKind.OVERLOADED:
            member.health.failed(kind, now, 0.0, retry_after_s=failure.retry_after_s or LOAD_AGAIN_S)
            member.health.doubted(now)  # nothing is served there until it takes us: the wait is bounded
        elif kind in INSTANCE_FAULTS or kind in HARD_FAULTS or kind is FailureKind.LOST:
            self.eject(member, failure, now)
        else:
            self.refuse(member, attempt.unit or Unit(""), kind, now)

    def refuse(self, member: Member, unit: Unit, kind: FailureKind, now: float) -> None:
        """The member cannot serve the unit, now or later."""
        member.refused[unit] = kind
        member.loaded.discard(unit)
        if unit in (member.unit, member.ready_for):
            self._assignment.hold(member, None)
            member.ready_for = None
        member.todo = [step for step in member.todo if step.unit != unit]
        self._tell(InstanceChanged(member.name, "ok", kind.value, unit, at=now))

    def _settle(self, member: Member, now: float) -> None:
        """See what the member can be used for after a step."""
        if member.phase is not Phase.READY or member.health.ejected:
            return
        if member.name not in self._ready:
            self._ready[member.name] = member
            if member.kind == "gateway":
                self._gateways[member.name] = member
                self._tell(Noted("truncation_possible", member.name, now))
            self._tell(InstanceChanged(member.name, "ok", at=now))
        if member.single and not member.todo:
            if member.unit is not None and member.ready_for != member.unit:
                member.ready_for = member.unit
                member.slow_at = inf
                self._tell(InstanceChanged(member.name, "ok", unit=member.unit, at=now))
                self._builds.ready(member, member.unit, now)
            if not member.in_flight:
                self._assignment.rest(member)
        self._fleet.touch(member, now)
