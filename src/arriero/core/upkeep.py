"""Upkeep: discovery, loading, unloading and probing, so that instances can serve what waits."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

from arriero.core import discover
from arriero.core.events import InstanceChanged, Noted, Notice, UpkeepEnded
from arriero.core.fleet import Fleet
from arriero.core.instance import BackendName
from arriero.core.member import Member, Phase, Step
from arriero.core.policies.health import ALL_PLACES, WAIT_S
from arriero.core.request import (
    HARD_FAULTS,
    INSTANCE_FAULTS,
    REQUEST_FAULTS,
    Attempt,
    Failure,
    FailureKind,
    Observation,
    Outcome,
    Purpose,
    Success,
    Timeouts,
    Unit,
)
from arriero.core.waiting import Waiting

LOAD_AGAIN_S = 2.0
"""Pause after a load was refused as overloaded: the server is loading something else."""

DISCOVER_S = 10.0
"""A listing is answered at once or not at all."""

LOAD_S = 600.0
"""A preload has its own timeout (DESIGN section 4): cold loads of 190 s are reported, and giving up aborts the load."""

Send = Callable[[Member, Step, BackendName, float], None]
"""Starts a step on a member in a dialect, at a time."""


def step_timeouts(purpose: Purpose, probe_s: float) -> Timeouts:
    """How long a step may take; ``probe_s`` is what the member's health allows a probe."""
    limit_s = {"discover": DISCOVER_S, "probe": probe_s}.get(purpose, LOAD_S)
    return Timeouts(first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s)


class Upkeep:
    """Keeps instances discovered, loaded and probed; owns their timers.

    Every step is an attempt like any other: ``send`` makes it, the scheduler tells its end. A member does one step at a time.
    """

    def __init__(self, fleet: Fleet, waiting: Waiting, send: Send, tell: Callable[[Notice], None]) -> None:
        self._fleet = fleet
        self._waiting = waiting
        self._send = send
        self._tell = tell
        self._timers: list[tuple[float, int, str]] = []
        self._timer = 0
        self._busy: set[str] = set()
        self._idle: dict[Unit | None, dict[str, Member]] = {}
        self._gateways: dict[str, Member] = {}
        self._holders: dict[Unit, int] = {}
        self._ready: dict[str, Member] = {}

    @property
    def wake_at(self) -> float:
        """When something is due; ``inf`` for never."""
        return self._timers[0][0] if self._timers else inf

    def joined(self, member: Member, now: float) -> None:
        """A new member is asked what it is."""
        self._tell(InstanceChanged(member.name, "joining", at=now))
        self.attend(member, now)

    def left(self, member: Member, now: float) -> None:
        """A member is gone."""
        member.phase = Phase.LEFT
        for known in (*self._idle.values(), self._gateways, self._ready):
            known.pop(member.name, None)
        self._busy.discard(member.name)
        self._hold(member, None)
        self._tell(InstanceChanged(member.name, "left", at=now))

    def freed(self, member: Member, now: float) -> None:
        """Nothing runs on a member any more: it may change its unit."""
        if member.single and member.phase is Phase.READY:
            self._rest(member)
        if member.todo:
            self.attend(member, now)

    def wake(self, now: float) -> None:
        """Attend to every member whose time has come."""
        while self._timers and self._timers[0][0] <= now:
            member = self._fleet.get(heappop(self._timers)[2])
            if member is not None:
                self.attend(member, now)
                self._fleet.touch(member, now)

    def remind(self, member: Member, at: float) -> None:
        """Attend to the member again at a time."""
        if at < inf:
            self._timer += 1
            heappush(self._timers, (at, self._timer, member.name))

    def attend(self, member: Member, now: float) -> None:
        """Start the member's next step if one is due and can start."""
        if member.phase in (Phase.LEFT, Phase.UNUSABLE) or member.name in self._busy:
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
        self._busy.add(member.name)
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
                    self.attend(member, now)
        for held in [held for held in self._idle if held not in units]:
            for member in tuple(self._idle[held].values()):
                if member.todo or member.in_flight or member.unit != held:
                    del self._idle[held][member.name]
                    continue
                best = self._unit_for(member, units) if member.usable else None
                if best is not None:
                    self._give(member, best, now)

    def ended(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """A step is over: take in what it tells, and go on with the next."""
        self._busy.discard(member.name)
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
        self.attend(member, now)

    def eject(self, member: Member, kind: FailureKind, now: float) -> None:
        """Take a member out until a probe passes; a failed probe waits twice as long."""
        if member.health.ejected:
            member.health.probe_failed(now)
        else:
            member.health.eject(now, WAIT_S, kind)
        self.ejected(member, kind, now)

    def ejected(self, member: Member, kind: FailureKind, now: float) -> None:
        """A member was taken out (by its health or by ``eject``): say so, and remember to probe it."""
        member.fault = kind.value
        member.reason = kind.value
        self._fleet.touch(member, now)
        self._tell(
            InstanceChanged(member.name, "ejected", kind.value, member.ready_for, member.health.probe_at - now, at=now)
        )
        self.remind(member, member.health.probe_at)

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

    def _unit_for(self, member: Member, units: dict[Unit, int]) -> Unit | None:
        """The unit with most waiting for each instance that holds it, if one more is worth a load."""
        best: Unit | None = None
        best_need = 0.0
        for unit, count in units.items():
            holders = self._holders.get(unit, 0)
            if not member.can_serve(unit) or (holders and not self._worth(member, unit, count, holders)):
                continue
            need = count / (holders + 0.5)
            if need > best_need:
                best, best_need = unit, need
        return best

    def _worth(self, member: Member, unit: Unit, count: int, holders: int) -> bool:
        """Whether the unit's work without this member would last longer than a load (1.5 loads and 2 s)."""
        if member.unit is None:
            return count > holders
        load_s = self._fleet.pace(member, member.unit).load_s
        service_s = self._fleet.pace(member, member.unit).service_s
        return count * service_s / holders > 1.5 * load_s + 2.0

    def _give(self, member: Member, unit: Unit, now: float) -> None:
        """Assign a unit: unload what this process loaded there, load the new one, ask what it holds."""
        old = member.unit
        if old is not None and old in member.loaded:
            member.todo.append(Step("unload", unit=old))
        member.todo.append(Step("preload", unit=unit))
        member.todo.append(Step("discover", "resident", unit))
        known = member.model(unit.model)
        if known is not None and not known.capabilities:
            member.todo.append(Step("discover", "details", unit))
        self._hold(member, unit)
        member.ready_for = None
        self._fleet.touch(member, now)
        self._tell(InstanceChanged(member.name, "loading", unit=unit, at=now))
        self.attend(member, now)

    def _rest(self, member: Member) -> None:
        """Nothing runs there: it may be given another unit once its own has no work."""
        self._idle.setdefault(member.unit, {})[member.name] = member

    def _hold(self, member: Member, unit: Unit | None) -> None:
        if member.unit is not None:
            self._holders[member.unit] -= 1
        member.unit = unit
        if unit is not None:
            self._holders[unit] = self._holders.get(unit, 0) + 1

    def _discovered(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        if member.phase is Phase.JOINING:
            if not discover.answered(member, attempt, outcome):
                self.eject(member, outcome.kind if isinstance(outcome, Failure) else FailureKind.BAD_REPLY, now)
                return
        elif attempt.subject in ("resident", "details"):
            member.todo.pop(0)
            self._learn_unit(member, attempt, outcome)
            return
        elif isinstance(outcome, Failure):
            self.eject(member, outcome.kind, now)
            return
        self._readmit(member, now)

    def _readmit(self, member: Member, now: float) -> None:
        """A probe passed: the member comes back, one request first."""
        if member.health.ejected:
            member.health.probe_passed(now)
            member.reason = member.fault = ""
            self._tell(InstanceChanged(member.name, "ok", "readmitted", member.ready_for, at=now))

    def _learn_unit(self, member: Member, attempt: Attempt, outcome: Outcome) -> None:
        """What the server says of the unit it has just loaded; a server that does not say leaves it unknown."""
        unit = attempt.unit
        if unit is None or not isinstance(outcome, Observation):
            return
        for model in outcome.models:
            if model.name not in (unit.model, f"{unit.model}:latest"):
                continue
            if attempt.subject == "resident" and model.context_tokens:
                member.contexts[unit] = model.context_tokens
            elif attempt.subject == "details" and member.models is not None:
                member.models[unit.model] = model

    def _generated(self, member: Member, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """A preload or a probe passed."""
        unit = attempt.unit
        if unit is None or not isinstance(outcome, Success):
            return
        if attempt.purpose == "preload":
            self._fleet.pace(member, unit).observe(outcome, 1)
        member.loaded.add(unit)
        if member.todo and member.todo[0].unit == unit and member.todo[0].purpose == attempt.purpose:
            member.todo.pop(0)
        self._readmit(member, now)
        self._fleet.touch(member, now)

    def _load_failed(self, member: Member, attempt: Attempt, failure: Failure, now: float) -> None:
        """A preload or a probe failed."""
        kind = failure.kind
        if kind is FailureKind.UNSUPPORTED and member.kind == "gateway" and not member.endpoint:
            member.endpoint = "/api/generate"
            self._tell(Noted("generate_only", member.name, now))
        elif kind is FailureKind.OVERLOADED:
            member.health.failed(kind, now, 0.0, retry_after_s=failure.retry_after_s or LOAD_AGAIN_S)
        elif kind in INSTANCE_FAULTS or kind in HARD_FAULTS or kind is FailureKind.LOST:
            self.eject(member, kind, now)
        elif kind is FailureKind.MODEL_MISSING or kind in REQUEST_FAULTS:
            self.refuse(member, attempt.unit or Unit(""), kind, now)

    def refuse(self, member: Member, unit: Unit, kind: FailureKind, now: float) -> None:
        """The member cannot serve the unit, now or later."""
        member.refused.add(unit)
        member.loaded.discard(unit)
        if unit in (member.unit, member.ready_for):
            self._hold(member, None)
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
            self._tell(InstanceChanged(member.name, "ok", at=now))
        if member.single and not member.todo:
            if member.unit is not None and member.ready_for != member.unit:
                member.ready_for = member.unit
                self._tell(InstanceChanged(member.name, "ok", unit=member.unit, at=now))
            if not member.in_flight:
                self._rest(member)
        self._fleet.touch(member, now)
