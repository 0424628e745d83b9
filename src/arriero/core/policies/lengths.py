"""Lengths: how many tokens a request will take, learned from those that have ended."""

from __future__ import annotations

from math import erf, exp, floor, log, log2, sqrt
from statistics import NormalDist
from typing import TypeAlias, TypeVar

import msgspec

from arriero.core.outcome import Usage
from arriero.core.policies.levels import Level
from arriero.core.policies.tokens import PromptTokens
from arriero.core.remembered import Sizes
from arriero.core.request import Request, Unit

# Constants as simulated for this design (docs/decisions/0009-policies.md): at 1,000 requests an order by learned
# length lifted the efficiency of a fleet from 0.91 to 0.98.

COUNT_PRIOR = (log(150.0), 1.0)
"""Mean and variance of log(output tokens) before any answer."""

SHARE_PRIOR = (log(0.5), 0.49)
"""Mean and variance of log(output tokens / max_tokens): a row's own cap is 1.2 to 3 times the truth."""

SHARE_GAIN = 0.8
"""The share of the cap is taken only if its variance is less by a fifth."""

CENSORED = 1.2
"""An answer cut at its cap counts as this much longer, else caps would teach short lengths."""

KEYS_MOST = 4096
"""Levels, estimates and units kept; the least recently used goes, its parents have all it knew."""

FRESH = 1.05
"""Estimates are renewed when 5 % more answers have come."""

RECALLED_MOST = 8
"""An earlier batch counts as so many answers at most, so that this one's soon outweigh them."""

LEVELS_KEPT = 256
"""Levels of a unit handed on to the next batch: those used last."""

Q90 = NormalDist().inv_cdf(0.9)
Q999 = NormalDist().inv_cdf(0.999)

Group: TypeAlias = tuple[Unit, str, int, int]
"""Unit, family, two-thirds octave of the prompt, quarter octave of ``max_tokens`` (-1: none): one estimate."""

_Level: TypeAlias = tuple[Unit, *tuple[str | int, ...]]
"""The unit, and below it nothing, its family, or family, size and cap."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """Tokens a request will take.

    Attributes:
        prompt_tokens: Of the prompt, template included.
        output_tokens: Mean of the answer.
        q90_tokens: Exceeded by one answer in ten.
        q999_tokens: Exceeded by one answer in a thousand.
    """

    prompt_tokens: float
    output_tokens: float
    q90_tokens: float
    q999_tokens: float


class Lengths:
    """Running means of log lengths on a chain of levels: all, unit, family, family of this size and cap.

    A request's estimate is a lognormal whose mean and variance come down that chain, each level drawn
    towards the one above it.

    Args:
        keys_most: Levels, estimates and units kept.

    Attributes:
        version: Changes when enough answers have come that estimates differ; an index sorted by them is
            sorted again.
    """

    def __init__(self, *, keys_most: int = KEYS_MOST) -> None:
        self.version = 0
        self._keys_most = keys_most
        self._seen = 0
        self._renew_at = 1.0
        self._all = Level.new()
        self._levels: dict[_Level, Level] = {}
        self._estimates: dict[Group, tuple[float, float]] = {}
        self._tokens: dict[Unit, PromptTokens] = {}

    def group(self, request: Request) -> Group:
        """What requests share that have one estimate (but for the clip at their own ``max_tokens``)."""
        cap = request.max_tokens
        return (
            request.unit,
            request.family,
            floor(1.5 * log2(max(request.size_chars, 1))),
            -1 if cap is None else floor(4.0 * log2(max(cap, 1))),
        )

    def estimate(self, request: Request) -> Estimate:
        """Tokens the request will take, by what has been observed up to this ``version``."""
        group = self.group(request)
        found = self._estimates.get(group)
        if found is None:
            found = _keep(self._estimates, group, self._lognormal(group), self._keys_most)
        mean, deviation = found
        most = float("inf") if request.max_tokens is None else float(max(request.max_tokens, 1))
        return Estimate(
            prompt_tokens=self.prompt_tokens(request),
            output_tokens=_mean_below(mean, deviation, most),
            q90_tokens=min(exp(mean + Q90 * deviation), most),
            q999_tokens=min(exp(mean + Q999 * deviation), most),
        )

    def observe(self, request: Request, usage: Usage, finish_reason: str) -> None:
        """Learn from an answer; failures and cancelled attempts teach nothing about length."""
        if usage.prompt_tokens is not None:
            tokens = self._tokens.get(request.unit) or _keep(
                self._tokens, request.unit, PromptTokens(), self._keys_most
            )
            tokens.observe(request.size_chars, usage.prompt_tokens)
        if usage.output_tokens is None:
            return
        length = log(max(usage.output_tokens, 1) * (CENSORED if finish_reason == "length" else 1.0))
        share = None if request.max_tokens is None else length - log(max(request.max_tokens, 1))
        for level in (self._all, *(self._touch(key) for key in _chain(self.group(request)))):
            level.counts.add(length)
            if share is not None:
                level.shares.add(share)
        self._seen += 1
        if self._seen >= self._renew_at:
            self.version += 1
            self._renew_at = self._seen * FRESH
            self._estimates.clear()

    def learned(self) -> list[Sizes]:
        """What is worth keeping for the next batch, a unit each; digests are for the caller to add."""
        levels: dict[Unit, list[tuple[tuple[str | int, ...], Level]]] = {unit: [] for unit in self._tokens}
        for (unit, *rest), level in self._levels.items():
            levels.setdefault(unit, []).append((tuple(rest), level))
        return [
            Sizes(unit=unit, tokens=self._tokens.get(unit), levels=tuple(known[-LEVELS_KEPT:]))
            for unit, known in levels.items()
        ]

    def recall(self, sizes: Sizes) -> None:
        """Begin with what an earlier batch learned of a unit."""
        if sizes.tokens is not None:
            _keep(self._tokens, sizes.unit, sizes.tokens, self._keys_most)
        for rest, level in sizes.levels:
            self._touch((sizes.unit, *rest)).take(level, RECALLED_MOST)
            if not rest:
                self._all.take(level, RECALLED_MOST)
        self.version += 1
        self._estimates.clear()

    def prompt_tokens(self, request: Request) -> float:
        """Tokens of the prompt, template included, by characters a token and the counts of its unit."""
        return self._prompt_tokens(request.unit).estimate(request.size_chars)

    def chars_per_token(self, unit: Unit) -> float:
        """Characters a prompt token of this unit; 3 before any count."""
        return self._prompt_tokens(unit).chars_per_token

    def _prompt_tokens(self, unit: Unit) -> PromptTokens:
        return self._tokens.get(unit) or PromptTokens()

    def _touch(self, key: _Level) -> Level:
        level = self._levels.get(key)
        if level is None:
            return _keep(self._levels, key, Level.new(), self._keys_most)
        del self._levels[key]
        return _keep(self._levels, key, level, self._keys_most)

    def _lognormal(self, group: Group) -> tuple[float, float]:
        """Mean and deviation of log(output tokens) of a group, by the yardstick that varies less."""
        count = self._all.counts.top(COUNT_PRIOR)
        share = self._all.shares.top(SHARE_PRIOR)
        for key in _chain(group):
            level = self._levels.get(key)
            if level is not None:
                count = level.counts.under(count)
                share = level.shares.under(share)
        if group[3] >= 0 and share[1] < SHARE_GAIN * count[1]:
            return share[0] + group[3] / 4.0 * log(2.0), sqrt(share[1])
        return count[0], sqrt(count[1])


def _chain(group: Group) -> tuple[_Level, ...]:
    """Keys of the levels below the top, from the widest; size and cap by whole octaves, to gather more."""
    unit, family, size, cap = group
    leaf = (unit, family, size * 2 // 3, cap // 4 if cap >= 0 else -1)
    return ((unit,), (unit, family), leaf) if family else ((unit,), leaf)


def _keep(table: dict[_Key, _Value], key: _Key, value: _Value, most: int) -> _Value:
    """Put it last; a table that is full loses what was put first."""
    if len(table) >= most:
        del table[next(iter(table))]
    table[key] = value
    return value


def _mean_below(mean: float, deviation: float, most: float) -> float:
    """Mean of min(X, most) for a lognormal X of this log mean and log deviation."""
    whole = exp(mean + deviation * deviation / 2.0)
    if most == float("inf"):
        return whole
    edge = (log(most) - mean) / max(deviation, 1e-9)
    return whole * _normal(edge - deviation) + most * (1.0 - _normal(edge))


def _normal(z: float) -> float:
    """Distribution function of the standard normal."""
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))
