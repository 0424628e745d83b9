"""Assignment: which unit an instance that holds one at a time is given next."""

from __future__ import annotations

from collections.abc import Iterator

from arriero.core.fleet import Fleet
from arriero.core.member import Member
from arriero.core.request import Unit
from arriero.core.step import Step

LOADS = 1.5
"""A further instance is worth a load if the unit's work would last this many loads without it."""

SECONDS = 2.0
"""And these seconds besides; both as simulated for pick: 1.0 loads the same, 3.0 loses 0.01 to 0.02."""


class Assignment:
    """Keeps who holds what, and who could be given something else."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._idle: dict[Unit | None, dict[str, Member]] = {}
        self._holders: dict[Unit, int] = {}
        self._counted: dict[str, Unit] = {}

    def hold(self, member: Member, unit: Unit | None) -> None:
        """A member is given a unit, or none."""
        member.unit = unit
        self.count(member)

    def count(self, member: Member) -> None:
        """See anew whether it counts as a holder: one that is out of use must not keep the others from loading."""
        counts = member.unit if member.usable else None
        counted = self._counted.pop(member.name, None)
        if counted is not None:
            self._holders[counted] -= 1
        if counts is not None:
            self._counted[member.name] = counts
            self._holders[counts] = self._holders.get(counts, 0) + 1

    def rest(self, member: Member) -> None:
        """Nothing runs there: it may be given another unit once its own has no work."""
        self._idle.setdefault(member.unit, {})[member.name] = member

    def left(self, member: Member) -> None:
        """It is gone."""
        for members in self._idle.values():
            members.pop(member.name, None)
        self.hold(member, None)

    def due(self, units: dict[Unit, int]) -> Iterator[tuple[Member, Unit]]:
        """Who should be given what now; whoever asks gives it before the next, which then counts one holder more.

        Args:
            units: Requests waiting, by unit.
        """
        for held in [held for held in self._idle if held not in units]:
            for member in tuple(self._idle[held].values()):
                if member.todo or member.in_flight or member.unit != held:
                    del self._idle[held][member.name]
                    continue
                best = self._best(member, units) if member.usable else None
                if best is not None:
                    yield member, best

    def _best(self, member: Member, units: dict[Unit, int]) -> Unit | None:
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
        """Whether the unit's work without this member would last longer than a load."""
        if member.unit is None:
            return count > holders
        pace = self._fleet.pace(member, member.unit)
        return count * pace.service_s / holders > LOADS * pace.load_s + SECONDS


def steps_to(member: Member, unit: Unit) -> list[Step]:
    """What it takes until a member serves another unit, in order."""
    steps = []
    if member.unit is not None and member.unit in member.loaded:
        steps.append(Step("unload", unit=member.unit))
    # Who else uses the machine keeps what was resident before: asked first, so that only our own loads are undone.
    steps += [Step("discover", "resident", unit), Step("preload", unit=unit), Step("discover", "resident", unit)]
    known = member.model(unit.model)
    if known is not None and not known.capabilities:
        steps.append(Step("discover", "details", unit))
    return steps
