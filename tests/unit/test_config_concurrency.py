from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.config.concurrency import concurrency, concurrency_text, instance_limit
from arriero.core.instance import Concurrency, InstanceLimit
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", Concurrency(total=30, learned=False)),
        ("3x", Concurrency(per_instance=3, learned=False)),
        ("auto", Concurrency()),
        ("auto:30", Concurrency(total=30, learned=True)),
        (" AUTO:7 ", Concurrency(total=7)),
    ],
)
def test_every_form_of_c_means_what_the_design_says(text, value):
    assert concurrency(text) == value


@pytest.mark.parametrize("text", ["", "0", "-3", "03", "x3", "0x", "3y", "auto:", "auto:0", "1.5", "4-8-16", "all"])
def test_any_other_form_of_c_is_refused_with_all_forms(text):
    with pytest.raises(ConfigError) as error:
        concurrency(text)

    assert all(form in error.value.hint for form in ("30 ", "3x ", "auto ", "auto:30 "))


@given(st.one_of(st.integers(1, 9_999_999).map(str), st.integers(1, 99_999).map("{}x".format), st.just("auto")))
def test_a_concurrency_as_text_reads_back_as_itself(text):
    assert concurrency_text(concurrency(text)) == text


def test_a_limit_is_a_number_or_least_start_and_most():
    assert instance_limit("4") == InstanceLimit(4, 4, 4)
    assert instance_limit("2-8-64") == InstanceLimit(2, 8, 64)


@pytest.mark.parametrize("text", ["0", "", "2-8", "8-2-64", "2-64-8", "2-8-64-9", "auto", "-1", "2–8–64"])  # noqa: RUF001
def test_any_other_limit_is_refused_with_the_forms(text):
    with pytest.raises(ConfigError) as error:
        instance_limit(text)

    assert "2-8-64" in error.value.hint
