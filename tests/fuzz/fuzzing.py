"""fuzzed: a property over many generated cases, the same ones each time; more of them from other seeds with -m slow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SLOW_SEEDS = (1, 2, 3, 4)
SLOW_TIMES = 5
"""A slow seed runs so many times the cases of the default one: 4 x 5 = 20 times in all."""

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\x1b[2J",
    "\u2028",
    "\x85",
    "\ufeff",
    "é",
    "日本語",
    "😀",
    "\r",
    '"',
    "\\",
    "\\u0000",
    "{",
    "{{x}}",
    "[DONE]",
    "data: x",
    "null",
    "a" * 300,
    "\N{RIGHT-TO-LEFT OVERRIDE}",
)
ODD_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(10**30), 0.1, -0.0, 1e300, 5e-324, 0.1 + 0.2)

texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
numbers = st.one_of(st.sampled_from(ODD_NUMBERS), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.sampled_from((None, True, False, *ODD_TEXTS, *ODD_NUMBERS)), numbers, texts)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(texts, scalars, max_size=2),
    scalars.map(lambda inner: [[], {"a": [inner, {"b": inner}]}]),
)


def told(text, *, never=""):
    """An error says something, and does not say what must never be said."""
    assert text
    assert not never or never not in text


def fuzzed(cases, *, folder=False, **strategies):
    """Make a test of a property.

    Args:
        cases: Cases by default.
        folder: The property takes the path of an empty folder too; the cases of one seed share it.
        strategies: What to draw, by the property's parameters.

    Seed and case follow from the test's name alone, so that the line at the end of a failure replays it anywhere.
    """

    def decorate(check):
        def test(number, tmp_path):
            drawn = {**strategies, "folder": st.just(Path(tmp_path))} if folder else strategies
            bounded = settings(
                max_examples=cases * (SLOW_TIMES if number else 1),
                database=None,
                deadline=None,
                phases=[Phase.explicit, Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            try:
                seed(number)(bounded(given(**drawn)(check)))()
            except BaseException as error:
                name = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
                error.add_note(f"replay: pytest {name!r}" + (" -m slow" if number else ""))
                raise

        test.__name__ = test.__qualname__ = check.__name__
        test.__module__ = check.__module__
        test.cases = cases
        slow = [pytest.param(number, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]) for number in SLOW_SEEDS]
        return pytest.mark.parametrize("number", [0, *slow])(test)

    return decorate
