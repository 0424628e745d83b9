"""Quantities: durations (``1h30m``), sizes (``200MB``) and counts (``10k``) from text."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from arriero.errors import ConfigError

DURATION_FORMS = "forms: 5 or 5s (seconds), 500ms, 2m, 1h30m, 1.5h, 1d"
SIZE_FORMS = "forms: 4096 (bytes), 200kB, 200MB, 2GB (powers of 1000), 64KiB, 16MiB, 1GiB (powers of 1024)"
COUNT_FORMS = "forms: 500, 10k, 1m"

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_TIMES = {"": 1, "k": 10**3, "m": 10**6}

_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_PART = re.compile(_NUMBER + r"(ms|d|h|m|s)", re.ASCII)
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|d|h|m|s))+", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SIZE = re.compile(_NUMBER + r"\s?([a-z]*)", re.ASCII | re.IGNORECASE)
_COUNT = re.compile(r"(\d{1,15})([km]?)", re.ASCII | re.IGNORECASE)


def duration_s(text: str) -> float:
    """Seconds from ``5``, ``5s``, ``500ms``, ``2m``, ``1h30m``.

    Each unit comes once, larger ones first, so that a slip such as ``30m1h`` is not read as something else.

    Raises:
        ConfigError: If the text has another form.
    """
    word = text.strip()
    if _PLAIN.fullmatch(word):
        return float(word)
    if not _DURATION.fullmatch(word):
        raise ConfigError(f"`{text}` is no duration", hint=DURATION_FORMS)
    parts = _PART.findall(word)
    scales = [_SECONDS[unit] for _, unit in parts]
    if any(after >= before for before, after in pairwise(scales)):
        raise ConfigError(f"`{text}` is no duration: each unit once, larger ones first", hint=DURATION_FORMS)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size_bytes(text: str) -> int:
    """Bytes from ``4096``, ``200MB`` (10^6) or ``16MiB`` (2^20); case does not matter.

    Raises:
        ConfigError: If the text has another form, or names a fraction of a byte.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise ConfigError(f"`{text}` is no size", hint=SIZE_FORMS)
    exact = Fraction(match[1]) * _BYTES[match[2].lower()]
    if exact.denominator != 1:
        raise ConfigError(f"`{text}` is no whole number of bytes", hint=SIZE_FORMS)
    return int(exact)


def count(text: str) -> int:
    """A number of things from ``500``, ``10k`` (10^3) or ``1m`` (10^6).

    Raises:
        ConfigError: If the text has another form.
    """
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"`{text}` is no count", hint=COUNT_FORMS)
    return int(match[1]) * _TIMES[match[2].lower()]


def duration_text(seconds: float) -> str:
    """The shortest form that ``duration_s`` reads back as the same number of seconds.

    Args:
        seconds: At least 0.
    """
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
