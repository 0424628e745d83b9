"""Suggestion: the known word a mistyped one most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as ``did you mean `limit`?``, or ``""`` when nothing known is similar.

    Args:
        word: What was written.
        known: What would have been understood.
    """
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""
