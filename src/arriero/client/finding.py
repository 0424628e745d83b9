"""Finding: one thing that was looked at, and the line that tells it; what ``doctor`` and ``verify`` answer with."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_WORDS = {True: "ok  ", False: "BAD ", None: "note"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; ``ok`` False is wrong or gets in the way, None is worth knowing."""

    name: str
    ok: bool | None
    text: str


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.ok is not False for finding in findings)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """A line a finding."""
    width = max(len(finding.name) for finding in findings)
    return [f"{_WORDS[one.ok]}  {one.name:<{width}}  {one.text}" for one in findings]
