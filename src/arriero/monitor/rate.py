"""Rate: requests and output tokens a second over a sliding window of whole seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

WINDOW_S = 30
"""Long enough that answers of some seconds make a steady figure, short enough to show a change of the fleet."""


class Rate:
    """Commits of the last ``WINDOW_S`` seconds, one place a second; bounded memory."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, requests, output_tokens]

    def add(self, now: float, output_tokens: int) -> None:
        """Record one finished request; ``now`` never falls by more than a second."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] < second:
            self._seconds.append([second, 0, 0])
            self._forget(second)
        last = self._seconds[-1]
        last[1] += 1
        last[2] += output_tokens

    def totals(self, now: float) -> tuple[int, int]:
        """Requests and output tokens in the window that ends now."""
        self._forget(int(now))
        return sum(place[1] for place in self._seconds), sum(place[2] for place in self._seconds)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            self._seconds.popleft()


def window_s(now: float, since: float) -> float:
    """Seconds that ``Rate.totals(now)`` covers when recording began at ``since``; at least 1.

    The window holds the second that runs now and the ``WINDOW_S - 1`` before it.
    """
    return max(1.0, min(now - (int(now) - WINDOW_S + 1), now - since))


def per_s(totals: Iterable[tuple[int, int]], duration_s: float) -> tuple[float, float]:
    """Requests a second and output tokens a second of several rates together."""
    requests = output_tokens = 0
    for counted, tokens in totals:
        requests += counted
        output_tokens += tokens
    return requests / duration_s, output_tokens / duration_s
