"""Concurrency: the forms of ``-c`` and of an instance's ``limit``."""

from __future__ import annotations

import re

from arriero.core.instance import Concurrency, InstanceLimit
from arriero.errors import ConfigError

CONCURRENCY_FORMS = (
    "forms: 30 (exactly 30 in flight over the fleet), 3x (instances x 3), auto (learned for each instance), "
    "auto:30 (learned, 30 at most)"
)
LIMIT_FORMS = 'forms: 4 (exactly), "2-8-64" (never below 2, learning starts at 8, never above 64)'

_TOTAL = re.compile(r"(auto:)?([1-9]\d{0,6})", re.ASCII)
_TIMES = re.compile(r"([1-9]\d{0,4})x", re.ASCII)
_LIMIT = re.compile(r"([1-9]\d{0,4})-([1-9]\d{0,4})-([1-9]\d{0,4})", re.ASCII)
_FIXED = re.compile(r"[1-9]\d{0,4}", re.ASCII)


def concurrency(text: str) -> Concurrency:
    """``-c``: ``N``, ``Nx``, ``auto`` or ``auto:N``, N at least 1.

    Raises:
        ConfigError: If the text has another form; the hint lists them.
    """
    word = text.strip().lower()
    if word == "auto":
        return Concurrency()
    if match := _TOTAL.fullmatch(word):
        return Concurrency(total=int(match[2]), learned=match[1] is not None)
    if match := _TIMES.fullmatch(word):
        return Concurrency(per_instance=int(match[1]), learned=False)
    raise ConfigError(f"`{text}` is no concurrency", hint=CONCURRENCY_FORMS)


def concurrency_text(value: Concurrency) -> str:
    """The form that ``concurrency`` reads back as the same value."""
    if value.per_instance is not None:
        return f"{value.per_instance}x"
    if value.total is None:
        return "auto"
    return f"auto:{value.total}" if value.learned else str(value.total)


def instance_limit(text: str) -> InstanceLimit:
    """``limit`` of an instance: ``4``, or ``2-8-64`` for least, start and most.

    Raises:
        ConfigError: If the text has another form, or the three numbers are not in rising order.
    """
    word = text.strip()
    if _FIXED.fullmatch(word):
        return InstanceLimit(int(word), int(word), int(word))
    match = _LIMIT.fullmatch(word)
    if match is None:
        raise ConfigError(f"`{text}` is no limit", hint=LIMIT_FORMS)
    least, start, most = (int(number) for number in match.groups())
    if not least <= start <= most:
        raise ConfigError(f"`{text}` is no limit: least, start and most must rise", hint=LIMIT_FORMS)
    return InstanceLimit(least, start, most)
