"""Suggestion: the known word a mistyped one most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], *, quote: str = "`") -> str:
    """A hint such as ``did you mean `limit`?``, or ``""`` when nothing known is similar.

    Args:
        word: What was written.
        known: What would have been understood.
        quote: Around the known word.
    """
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {quote}{near[0]}{quote}?" if near else ""
