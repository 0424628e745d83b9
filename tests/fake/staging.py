"""Play: what an instance does with every attempt it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Play:
    """One instance's part.

    Attributes:
        kind: ``answers``; ``silent`` takes the slot and never says a byte; ``hangs`` says one token and no more;
            ``deaf`` answers to the end also when its client has gone.
        slots: Attempts at one time; the others wait for a slot there.
        first_s: Engine seconds to the first token, at least.
        token_s: Engine seconds from one token to the next, at least.
    """

    kind: Literal["answers", "silent", "hangs", "deaf"] = "answers"
    slots: int = 4
    first_s: float = 0.0
    token_s: float = 0.0
