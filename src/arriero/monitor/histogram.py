"""Histogram: durations in buckets of equal ratio; bounded memory, mergeable, percentiles within 2.5 %."""

from __future__ import annotations

import math

GROWTH = 1.05
"""Upper edge of a bucket over its lower edge; half of it, 2.5 %, is the largest relative error."""

LEAST_S = 1e-4
"""Everything below falls into the first bucket: 0.1 ms, shorter than any exchange over a socket."""

MOST_S = 1e6
"""Everything above falls into the last bucket: eleven days."""

_STEP = 1.0 / math.log(GROWTH)
_OFFSET = math.log(LEAST_S) * _STEP
_LAST = int(math.log(MOST_S) * _STEP - _OFFSET)


class Histogram:
    """Counts of durations; at most 473 buckets, only those in use are held.

    Attributes:
        count: Durations recorded.
    """

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        self._buckets: dict[int, int] = {}

    def add(self, value_s: float) -> None:
        """Record one duration in seconds; what is not positive counts as ``LEAST_S``."""
        index = min(int(math.log(value_s) * _STEP - _OFFSET), _LAST) if value_s > LEAST_S else 0
        self._buckets[index] = self._buckets.get(index, 0) + 1
        self.count += 1

    def merge(self, other: Histogram) -> None:
        """Add all that another histogram has recorded."""
        for index, count in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + count
        self.count += other.count

    def percentile(self, rank: float) -> float | None:
        """The nearest-rank percentile in seconds, within 2.5 %; None of nothing.

        Args:
            rank: Percentile rank in (0, 100].

        Source:
            Nearest rank: the smallest value with at least ``rank`` per cent of the values at or below it. The
            value told is the geometric middle of its bucket.
        """
        wanted = math.ceil(self.count * rank / 100)
        for index in sorted(self._buckets):
            wanted -= self._buckets[index]
            if wanted <= 0:
                return math.exp((index + 0.5 + _OFFSET) / _STEP)
        return None
