"""Outage: while no instance is usable the batches wait, but not for ever."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Literal

from arriero.core.books import Books
from arriero.core.events import FleetChanged
from arriero.core.fleet import Fleet
from arriero.core.outcome import HARD_FAULTS
from arriero.core.plan import Plan
from arriero.core.request import Unit

_REFUSALS = frozenset(kind.value for kind in HARD_FAULTS)


SAID_AFTER_S = 5.0
"""A shorter outage is not worth a line: a restart, or the pause of a gateway."""


class Outage:
    """Watches whether anything can serve what waits.

    Attributes:
        stop_reason: ``outage`` when ``--max-wait`` is over, ``refused`` when every instance refuses us (401, 403, 3xx), so
            that waiting is useless; ``""`` while work can go on.
        wake_at: When the next wait is over; ``inf`` while everything that waits can be served.
    """

    def __init__(self, fleet: Fleet, books: Books) -> None:
        self.stop_reason: Literal["", "outage", "refused"] = ""
        self.wake_at = inf
        self._fleet = fleet
        self._books = books
        self._since: dict[Unit, float] = {}
        self._down = False
        self._down_since = inf
        self._said = False

    def check(self, plan: Plan, units: Collection[Unit], now: float) -> list[Unit]:
        """See what can be served; says so once when the whole fleet has been unusable for a while, and when it is usable.

        A member that failed and was let in again serves only once a request has succeeded there: a probe that passes while
        requests fail would put the end off for ever.

        Args:
            plan: Where to say it.
            units: Units of the requests that wait, delayed ones too.
            now: Monotonic seconds.

        Returns:
            Units whose wait is over while others can be served: their requests end as ``expired``.
        """
        # What runs after an outage is still waited for: its success ends the outage, its failure does not begin another.
        quiet = not self._fleet.in_flight
        for unit in [unit for unit in self._since if (quiet and unit not in units) or self._fleet.served(unit)]:
            del self._since[unit]
        for unit in units:
            if unit not in self._since and not self._fleet.served(unit):
                self._since[unit] = now
        self._tell(plan, bool(self._since) and not self._fleet.trusted and self._fleet.settled, now)
        due = {unit: since + self._books.max_wait_s for unit, since in self._since.items()}
        over = [unit for unit, at in due.items() if now >= at]
        say_at = self._say_at() if self._down and not self._said else inf
        self.wake_at = min((at for at in (*due.values(), say_at) if at > now), default=inf)
        if not self._down:
            return over
        if all(member.fault in _REFUSALS for member in self._fleet):
            self.stop_reason = "refused"
        elif over and not self._fleet.in_flight:  # what runs may be the success that ends the outage
            self.stop_reason = "outage"
        return []

    def _tell(self, plan: Plan, down: bool, now: float) -> None:
        if down != self._down:
            self._down, self._down_since = down, now
        if self._said is not (down and now >= self._say_at()):
            self._said = not self._said
            plan.notices.append(FleetChanged(usable=not self._said, at=now))

    def _say_at(self) -> float:
        return self._down_since + min(SAID_AFTER_S, self._books.max_wait_s / 10.0)

    def shift(self, gap_s: float) -> None:
        """Move the deadlines by the seconds the process was away."""
        self._down_since += gap_s
        self._since = {unit: since + gap_s for unit, since in self._since.items()}
