"""Points: observations of how many attempts held a slot at one moment, corrected by what is learned later."""

from __future__ import annotations

from collections import deque

WINDOW = 12
"""Full-load points that the largest overlap is taken from; 6 is near chance, 24 parks more; a fall takes one window."""


class Point:
    """One moment on one instance.

    Attributes:
        at: Monotonic seconds.
        running: Attempts that held a slot then.
        present: Attempts that were there.
        full: As many were there as the limit allowed: ``running`` may be less because the slots are less.
        assumed: Those counted in ``running`` that are not proved yet; None where first tokens were told.
    """

    __slots__ = ("assumed", "at", "full", "present", "running")

    def __init__(self, at: float, running: int, present: int, full: bool, assumed: set[int] | None = None) -> None:
        self.at = at
        self.running = running
        self.present = present
        self.full = full
        self.assumed = assumed


class Points:
    """The last ``WINDOW`` full-load points, and what else proved a new slot among them.

    Attributes:
        full: Full-load points held.
    """

    __slots__ = ("_late", "_points", "_seen", "full")

    def __init__(self) -> None:
        self.full = 0
        self._points: deque[Point] = deque()
        self._late = 0
        self._seen = 0  # -1: to be found again; the largest is asked for at every token and end

    @property
    def seen(self) -> int:
        """The largest overlap; 0 without a point."""
        if self._seen < 0:
            self._seen = max([point.running for point in self._points], default=0)
        return self._seen

    def add(self, point: Point) -> None:
        """Keep it; the oldest go while there are more than ``WINDOW`` full ones."""
        self._points.append(point)
        self.full += point.full
        self._late += point.assumed is not None
        if point.running > self._seen >= 0:
            self._seen = point.running
        while self.full > WINDOW:
            oldest = self._points.popleft()
            self.full -= oldest.full
            self._late -= oldest.assumed is not None
            if oldest.running == self._seen:
                self._seen = -1

    def left(self, first: float, now: float, tie_s: float) -> None:
        """An attempt whose first token came at ``first`` ended ``now``: it may have left before a point this near."""
        for point in reversed(self._points):
            if point.assumed is not None:
                continue
            if point.at <= first or now - point.at >= tie_s:
                break  # those that saw streams are in order of time
            point.running -= 1
            self._seen = -1

    def prefilled(self, begun: float, first: float) -> None:
        """It held its slot from ``begun``, before it was seen to stream from ``first``."""
        for point in reversed(self._points):
            if point.at >= first or point.assumed is not None:
                continue
            if point.at < begun:
                break  # those that saw streams are in order of time
            if point.running < point.present:
                point.running += 1
                self._seen = -1

    def settle(self, attempt: int, begun: float, end: float, *, streamed: bool) -> None:
        """Correct the points that did not see it stream by when it really held its slot, in [begun, end).

        Args:
            attempt: The attempt that ended.
            begun: When it took its slot.
            end: When it surely held it last; not after ``begun`` if nothing is sure.
            streamed: Its first token was told, so live points have counted it already.
        """
        if streamed and not self._late:
            return
        self._seen = -1
        for point in self._points:
            held = begun <= point.at < end
            if point.assumed is not None and attempt in point.assumed:
                point.assumed.discard(attempt)
                point.running -= not held
            elif held and point.running < point.present and not (streamed and point.assumed is None):
                point.running += 1
