import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.errors import ConfigError
from arriero.inputs.row import BadLineError
from arriero.inputs.template import Template


def render(template, **fields):
    raws = msgspec.json.decode(json.dumps(fields), type=dict[str, msgspec.Raw])
    return Template.parse(template).render(raws)


def test_fields_are_put_in_as_they_are():
    assert render("Sentiment of: {text}!", text='a "b" {c} \u00e9') == 'Sentiment of: a "b" {c} \u00e9!'
    assert render("{a}{b}{a}", a="1", b="2") == "121"


def test_values_that_are_no_strings_are_put_in_as_their_json():
    assert render("{a} {b} {c}", a=1.5, b=[1, "x"], c=True) == '1.5 [1, "x"] true'


def test_doubled_braces_are_braces():
    assert render('{{"a": {a}}} {{b}}', a=1) == '{"a": 1} {b}'


def test_a_dot_reaches_into_an_object_unless_a_field_has_that_name():
    assert render("{a.b} {a.c.d} {x.y}", a={"b": "1", "c": {"d": "2"}}, **{"x.y": "3"}) == "1 2 3"


@pytest.mark.parametrize(
    "name", ["a.__class__", "0", "a[0]", "a!r", "a:>10", "__class__", "a.__init__.__globals__", "prompt.upper"]
)
def test_a_template_reaches_nothing_but_the_row(name):
    with pytest.raises(BadLineError, match="the template wants"):
        render("{" + name + "}", a="x", prompt="y")


def test_what_is_put_in_is_never_read_as_a_template():
    assert render("{a}", a="{b} {{ {a.__class__}", b="secret") == "{b} {{ {a.__class__}"


def test_a_missing_field_is_named_with_what_there_is():
    with pytest.raises(BadLineError) as caught:
        render("{text}", title="canary", body="canary")

    assert caught.value.reason == "the template wants 'text'; the fields are: 'title', 'body'"


def test_a_field_that_is_null_is_no_text():
    with pytest.raises(BadLineError, match="'text', which is null"):
        render("{text}", text=None)


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{ }", '{"a": 1}', "{a} {b", "{{a}} }", "no field"])
def test_a_template_that_makes_no_sense_is_refused_before_anything_is_read(text):
    with pytest.raises(ConfigError, match="--prompt"):
        Template.parse(text)


@given(st.text(), st.text(), st.text(min_size=1).filter(str.strip))
def test_any_text_and_value_come_out_unchanged(before, after, value):
    escaped = [text.replace("{", "{{").replace("}", "}}") for text in (before, after)]
    value = value.encode("utf-8", "ignore").decode()

    assert render(escaped[0] + "{x}" + escaped[1], x=value) == before + value + after
