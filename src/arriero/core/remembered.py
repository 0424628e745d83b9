"""Remembered: what a batch learned of instances and models and the next one begins with."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from arriero.core.policies.levels import Level
from arriero.core.policies.tokens import PromptTokens
from arriero.core.request import Unit

Key: TypeAlias = tuple[str | int, ...]
"""A level of one unit: nothing (the whole unit), its family, or family, size and cap."""


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one instance serves one unit.

    Attributes:
        unit: Model and runner options.
        digest: Content digest of the model there; another build under the same name is another unit. ``""`` where the
            server gives none.
        slots: Attempts that ran there at the same moment at most; 1 if nothing was seen.
        tested: Whether they were all there are: more were sent for long enough, and no more ran.
        token_s: Seconds an output token takes while nothing else runs there; 0 if unknown.
        load_s: Seconds a load took; 0 if none was seen.
    """

    unit: Unit
    digest: str = ""
    slots: int = 1
    tested: bool = False
    token_s: float = 0.0
    load_s: float = 0.0


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the lengths of one unit's prompts and answers.

    Attributes:
        unit: Model and runner options.
        digest: Content digest of the model, as for ``Served``.
        tokens: Characters to prompt tokens; None before the first count.
        levels: Running means, shape [levels]; families are named by digests of their words, never by the words.
    """

    unit: Unit
    digest: str = ""
    tokens: PromptTokens | None = None
    levels: tuple[tuple[Key, Level], ...] = ()
