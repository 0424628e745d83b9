"""Ranges: ``{34..45}`` and ``{01..12}`` in instance names and URLs."""

from __future__ import annotations

import re

from arriero.errors import ConfigError

INSTANCES_MOST = 10_000
"""Texts one range may make; more is a slip of the keyboard, and would be built before anyone sees it."""

_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}", re.ASCII)


def expand(text: str) -> list[str]:
    """Every text that the ranges in ``text`` make; the text itself if it has none.

    Several ranges advance together, so that ``rack{1..2}-gpu{01..02}`` makes two texts and not four. Numbers are
    padded with zeros to the wider bound when a bound is written with a leading zero.

    Raises:
        ConfigError: If a range runs backwards, lengths differ, braces are left over, or more than
            ``INSTANCES_MOST`` texts would be made.
    """
    rest = _RANGE.sub("", text)
    if "{" in rest or "}" in rest:
        raise ConfigError(f"`{text}` has braces that are no range", hint="forms: {34..45}, {01..12}")
    columns = [_numbers(first, last, text) for first, last in _RANGE.findall(text)]
    if not columns:
        return [text]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise ConfigError(
            f"`{text}` has ranges of different lengths ({', '.join(str(len(column)) for column in columns)})",
            hint="several ranges in one text advance together, so they must have as many numbers each",
        )
    pieces = _RANGE.split(text)[::3]
    return [_joined(pieces, row) for row in zip(*columns, strict=True)]


def _numbers(first: str, last: str, text: str) -> list[str]:
    low, high = int(first), int(last)
    if high < low:
        raise ConfigError(f"`{text}` has a range that runs backwards", hint=f"write {{{last}..{first}}}")
    if high - low >= INSTANCES_MOST:
        raise ConfigError(f"`{text}` makes more than {INSTANCES_MOST:,}")
    padded = any(len(bound) > 1 and bound.startswith("0") for bound in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{number:0{width}d}" for number in range(low, high + 1)]


def _joined(pieces: list[str], row: tuple[str, ...]) -> str:
    return pieces[0] + "".join(number + piece for number, piece in zip(row, pieces[1:], strict=True))
