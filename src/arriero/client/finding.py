"""Finding: one thing that was looked at, and the line that tells it; what ``doctor`` and ``verify`` answer with."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_WORDS = {True: "ok  ", False: "BAD ", None: "note"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        name: What it was.
        ok: False is wrong or gets in the way, None is worth knowing.
        text: What was found.
        promise: The promise it belongs to, such as ``P5``; ``""`` for none.
    """

    name: str
    ok: bool | None
    text: str
    promise: str = ""


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.ok is not False for finding in findings)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """A line a finding."""
    names = [f"{one.promise:<3} {one.name}" if one.promise else one.name for one in findings]
    width = max(map(len, names), default=0)
    return [f"{_WORDS[one.ok]}  {name:<{width}}  {one.text}" for one, name in zip(findings, names, strict=True)]
