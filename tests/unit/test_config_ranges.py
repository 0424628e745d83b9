from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.config.ranges import expand
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", ["plain"]),
        ("http://host:114{34..36}", ["http://host:11434", "http://host:11435", "http://host:11436"]),
        ("gpu-{09..11}", ["gpu-09", "gpu-10", "gpu-11"]),
        ("{8..010}", ["008", "009", "010"]),
        ("r{1..2}-g{01..02}.lan", ["r1-g01.lan", "r2-g02.lan"]),
        ("{5..5}", ["5"]),
    ],
)
def test_a_range_makes_one_text_for_each_number(text, made):
    assert expand(text) == made


@given(st.integers(0, 500), st.integers(0, 300))
def test_a_range_holds_both_of_its_ends_and_all_between(low, more):
    assert expand(f"a{{{low}..{low + more}}}b") == [f"a{number}b" for number in range(low, low + more + 1)]


@pytest.mark.parametrize("text", ["{3..1}", "{1..}", "{a..c}", "x{1..2", "}", "{1..3}-{1..2}", "{0..10000}", "{-1..2}"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ConfigError):
        expand(text)
