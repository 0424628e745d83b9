"""Levels: running means of log lengths, one a level of the chain that an estimate comes down."""

from __future__ import annotations

import msgspec

SHRINK = 2.0
"""A level's parent weighs as much as two observations."""


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Count, mean and sum of squared distances of one yardstick (Welford's running form)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Learn one value."""
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self.squares += off * (value - self.mean)

    def take(self, other: Tally, most: int) -> None:
        """Learn what another has learned, as if it were ``most`` values at most."""
        count = min(other.count, most)
        if not count:
            return
        both = self.count + count
        off = other.mean - self.mean
        self.squares += other.squares * count / other.count + off * off * self.count * count / both
        self.mean += off * count / both
        self.count = both

    def under(self, parent: tuple[float, float]) -> tuple[float, float]:
        """Mean and variance, drawn towards the parent's."""
        weight = self.count + SHRINK
        return (
            (self.count * self.mean + SHRINK * parent[0]) / weight,
            (self.squares + SHRINK * parent[1]) / weight,
        )

    def top(self, prior: tuple[float, float]) -> tuple[float, float]:
        """The same at the top, where the distance from the prior is doubt as well."""
        mean, variance = self.under(prior)
        weight = self.count + SHRINK
        return mean, variance + SHRINK * self.count / weight * (self.mean - prior[0]) ** 2 / weight


class Level(msgspec.Struct, array_like=True, gc=False):
    """Both yardsticks of one level: the log count of tokens, and the log share of the cap."""

    counts: Tally
    shares: Tally

    @classmethod
    def new(cls) -> Level:
        """One that has learned nothing."""
        return cls(Tally(), Tally())

    def take(self, other: Level, most: int) -> None:
        """Learn what another has learned, as if it were ``most`` answers at most."""
        self.counts.take(other.counts, most)
        self.shares.take(other.shares, most)
