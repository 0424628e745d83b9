from __future__ import annotations

import pytest

from arriero.config.bounds import budget_text, error_budget, timeout_rule, timeout_text
from arriero.config.settings import ErrorBudget, TimeoutRule
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("auto", TimeoutRule()),
        ("120", TimeoutRule("fixed", 120.0)),
        ("2m", TimeoutRule("fixed", 120.0)),
        ("30+1/100c", TimeoutRule("length", 30.0, 0.01)),
        ("1m+500ms/50c", TimeoutRule("length", 60.0, 0.01)),
    ],
)
def test_every_form_of_timeout_is_read(text, rule):
    assert timeout_rule(text) == rule
    assert timeout_rule(timeout_text(rule)) == rule


@pytest.mark.parametrize("text", ["", "0", "-5", "fast", "30+1", "30+1/100", "30+1/0c", "+1/100c", "0+1/100c", "2m2"])
def test_any_other_timeout_is_refused_with_the_forms(text):
    with pytest.raises(ConfigError) as error:
        timeout_rule(text)

    assert "30+1/100c" in error.value.hint


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5%", ErrorBudget(fraction=0.05)),
        ("0.5 %", ErrorBudget(fraction=0.005)),
        ("500", ErrorBudget(count=500)),
        ("1k", ErrorBudget(count=1000)),
        ("0", ErrorBudget(count=0)),
    ],
)
def test_an_error_budget_is_a_share_or_a_number(text, budget):
    assert error_budget(text) == budget
    assert error_budget(budget_text(budget)) == budget


@pytest.mark.parametrize("text", ["", "101%", "-1", "0.05", "%", "five"])
def test_any_other_error_budget_is_refused_with_the_forms(text):
    with pytest.raises(ConfigError) as error:
        error_budget(text)

    assert "500" in error.value.hint or "all requests" in error.value.message


@pytest.mark.parametrize("text", ["12.345678%", "0.000001%", "100%"])
def test_a_share_is_shown_with_all_its_digits(text):
    assert budget_text(error_budget(text)) == text
