from __future__ import annotations

import click
import pytest

from arriero.cli.flags import RESUME_FLAGS, RUN_FLAGS, flags, input_and_urls
from arriero.config.fields import FIELDS
from arriero.errors import ConfigError


def test_every_setting_has_a_flag_and_every_flag_is_a_setting_or_of_one_call():
    assert set(RUN_FLAGS) - {"dry_run", "json"} == {field.name for field in FIELDS}


def test_messages_name_the_flag_that_the_parser_knows():
    spelled = {option.name: option.opts for option in flags(RUN_FLAGS) if isinstance(option, click.Option)}

    assert all(field.flag in spelled[field.name] for field in FIELDS)


def test_a_resume_offers_nothing_that_binds_the_batch():
    assert set(RESUME_FLAGS).isdisjoint({"model", "system", "prompt", "options", "endpoint", "think", "first", "force"})


@pytest.mark.parametrize(
    ("words", "instances", "expected"),
    [
        (("p.txt",), (), ("p.txt", ())),
        (("p.txt", "http://h:11435", "http://h:11436"), ("http://h:11434",),
         ("p.txt", ("http://h:11434", "http://h:11435", "http://h:11436"))),
        (("h:11435", "p.txt"), ("h:11434",), ("p.txt", ("h:11434", "h:11435"))),
        (("-",), ("h",), ("-", ("h",))),
    ],
)  # fmt: skip
def test_a_range_that_the_shell_expanded_is_put_together_again(words, instances, expected):
    assert input_and_urls(words, instances) == expected


@pytest.mark.parametrize(("words", "instances"), [((), ()), (("a.txt", "b.txt"), ("h",)), (("a.txt", "http://h"), ())])
def test_anything_but_one_input_is_refused(words, instances):
    with pytest.raises(ConfigError, match="one input"):
        input_and_urls(words, instances)
