"""Outage: while no instance is usable the batches wait, but not for ever."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Literal

from arriero.core.books import Books
from arriero.core.events import FleetChanged
from arriero.core.fleet import Fleet
from arriero.core.plan import Plan
from arriero.core.request import HARD_FAULTS, Unit

_REFUSALS = frozenset(kind.value for kind in HARD_FAULTS)


class Outage:
    """Watches whether anything can serve what waits.

    Attributes:
        stop_reason: ``outage`` when ``--max-wait`` is over, ``refused`` when every instance refuses us (401, 403, 3xx), so
            that waiting is useless; ``""`` while work can go on.
    """

    def __init__(self, fleet: Fleet, books: Books) -> None:
        self.stop_reason: Literal["", "outage", "refused"] = ""
        self._fleet = fleet
        self._books = books
        self._since: dict[Unit, float] = {}
        self._down = False

    @property
    def wake_at(self) -> float:
        """When the first wait is over; ``inf`` while everything that waits can be served."""
        return min(self._since.values(), default=inf) + self._books.max_wait_s

    def check(self, plan: Plan, units: Collection[Unit], now: float) -> list[Unit]:
        """See what can be served; says so once when the whole fleet becomes unusable or usable.

        Args:
            plan: Where to say it.
            units: Units of the requests that wait.
            now: Monotonic seconds.

        Returns:
            Units whose wait is over while others can be served: their requests end as ``expired``.
        """
        for unit in [unit for unit in self._since if unit not in units or self._fleet.served(unit)]:
            del self._since[unit]
        for unit in units:
            if unit not in self._since and not self._fleet.served(unit):
                self._since[unit] = now
        self._tell(plan, bool(units) and self._fleet.usable == 0 and self._fleet.settled, now)
        over = [unit for unit, since in self._since.items() if now >= since + self._books.max_wait_s]
        if not self._down:
            return over
        if all(member.fault in _REFUSALS for member in self._fleet):
            self.stop_reason = "refused"
        elif over:
            self.stop_reason = "outage"
        return []

    def _tell(self, plan: Plan, down: bool, now: float) -> None:
        if down != self._down:
            self._down = down
            plan.notices.append(FleetChanged(usable=not down, at=now))

    def shift(self, gap_s: float) -> None:
        """Move the deadlines by the seconds the process was away."""
        self._since = {unit: since + gap_s for unit, since in self._since.items()}
