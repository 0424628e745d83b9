"""Plan: what the scheduler wants done now."""

from __future__ import annotations

from math import inf

from arriero.core.events import Notice
from arriero.core.request import Attempt, AttemptId, Result


class Plan:
    """One answer of ``Scheduler.schedule``.

    Attributes:
        results: Requests that ended, to be journalled.
        notices: What observers should know, to be journalled where they say so.
        cancel: Attempts to ask an end of.
        start: Attempts to begin, in this order.
        wake_at: When to ask again though nothing happened; monotonic seconds, ``inf`` for never.
    """

    __slots__ = ("cancel", "notices", "results", "start", "wake_at")

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.notices: list[Notice] = []
        self.cancel: list[AttemptId] = []
        self.start: list[Attempt] = []
        self.wake_at = inf
