"""Bounds: the forms of ``--timeout`` and ``--max-errors``."""

from __future__ import annotations

import re

from arriero.config.quantities import COUNT_FORMS, DURATION_FORMS, count, duration_s, duration_text
from arriero.config.settings import ErrorBudget, TimeoutRule
from arriero.errors import ConfigError

TIMEOUT_FORMS = "forms: auto (predicted), 120 or 2m (fixed), 30+1/100c (30 s and 1 s more for each 100 characters)"
BUDGET_FORMS = "forms: 5% (of the finished requests), 500 (requests)"

_LENGTH = re.compile(r"([^+/]+)\+([^+/]+)/([1-9]\d{0,8})c", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s?%", re.ASCII)


def timeout_rule(text: str) -> TimeoutRule:
    """``--timeout``: ``auto``, a duration, or ``BASE+MORE/Nc``: base and more seconds for each N characters.

    Raises:
        ConfigError: If the text has another form, or no time at all would be allowed.
    """
    word = text.strip().lower()
    if word == "auto":
        return TimeoutRule()
    try:
        if match := _LENGTH.fullmatch(word):
            rule = TimeoutRule("length", duration_s(match[1]), duration_s(match[2]) / int(match[3]))
        else:
            rule = TimeoutRule("fixed", duration_s(word))
    except ConfigError:
        raise ConfigError(
            f"`{text}` is no timeout", hint=f"{TIMEOUT_FORMS}; durations: {DURATION_FORMS.removeprefix('forms: ')}"
        ) from None
    if rule.base_s <= 0:
        raise ConfigError(f"`{text}` allows no time at all", hint=TIMEOUT_FORMS)
    return rule


def timeout_text(rule: TimeoutRule) -> str:
    """The rule in a form that ``timeout_rule`` reads."""
    if rule.kind == "predicted":
        return "auto"
    base = duration_text(rule.base_s)
    return base if rule.kind == "fixed" else f"{base}+{duration_text(rule.per_char_s * 100)}/100c"


def error_budget(text: str) -> ErrorBudget:
    """``--max-errors``: a share of the finished requests, or a number of requests; 0 allows none.

    Raises:
        ConfigError: If the text has another form, or the share is above 100 %.
    """
    word = text.strip()
    if match := _PERCENT.fullmatch(word):
        fraction = float(match[1]) / 100
        if fraction > 1:
            raise ConfigError(f"`{text}` is more than all requests", hint=BUDGET_FORMS)
        return ErrorBudget(fraction=fraction)
    try:
        return ErrorBudget(count=count(word))
    except ConfigError:
        raise ConfigError(
            f"`{text}` is no error budget", hint=f"{BUDGET_FORMS}; numbers: {COUNT_FORMS.removeprefix('forms: ')}"
        ) from None


def budget_text(budget: ErrorBudget | None) -> str:
    """The budget in a form that ``error_budget`` reads; ``none`` for no bound."""
    if budget is None:
        return "none"
    if budget.fraction is None:
        return str(budget.count)
    return f"{budget.fraction * 100:.6f}".rstrip("0").rstrip(".") + "%"
