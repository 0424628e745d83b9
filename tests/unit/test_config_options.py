from __future__ import annotations

import pytest

from arriero.config.options import checked_option, option_warnings, parse_option
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("temperature=0", ("temperature", 0)),
        ("temperature=0.5", ("temperature", 0.5)),
        ("use_mmap=false", ("use_mmap", False)),
        ('stop=["END", "\\n"]', ("stop", ["END", "\n"])),
        ("keep_alive=5m", ("keep_alive", "5m")),
        ("note=a=b", ("note", "a=b")),
        ("note=", ("note", "")),
    ],
)
def test_an_option_is_json_where_it_reads_as_json_and_text_elsewhere(text, pair):
    assert parse_option(text) == pair


@pytest.mark.parametrize("text", ["temperature", "=0", ""])
def test_an_option_without_key_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="no option"):
        parse_option(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"), ("temperature", True), ("num_ctx", 1.5), ("num_ctx", "8k"), ("num_ctx", True),
        ("stop", "END"), ("stop", [1]), ("use_mmap", 1), ("seed", None), ("top_k", [40]), ("seed", 2**64),
    ],
)  # fmt: skip
def test_a_known_option_of_the_wrong_type_is_refused_before_anything_is_sent(name, value):
    with pytest.raises(ConfigError, match=f"option {name} must be"):
        checked_option(name, value)


def test_a_whole_number_written_with_a_fraction_becomes_an_integer():
    value = checked_option("num_ctx", 8192.0)

    assert value == 8192
    assert isinstance(value, int)


@pytest.mark.parametrize(("name", "value"), [("num_predict", 0), ("num_predict", -1), ("num_ctx", 0)])
def test_an_option_with_which_an_answer_could_run_without_end_is_refused(name, value):
    with pytest.raises(ConfigError, match="at least 1"):
        checked_option(name, value)


def test_an_unknown_option_passes_with_a_warning_that_names_the_likely_one():
    assert checked_option("temprature", 0) == 0
    assert "did you mean `temperature`?" in option_warnings({"temprature": 0, "top_k": 1})[0]
    assert "did you mean `num_predict`?" in option_warnings({"max_tokens": 10})[0]


@pytest.mark.parametrize("value", ["[" * 100_000, '"\udc80"'])
def test_an_option_that_no_json_can_hold_is_refused_by_its_name(value):
    with pytest.raises(ConfigError, match="option seed: "):
        parse_option(f"seed={value}")
