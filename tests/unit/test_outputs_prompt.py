from arriero.core.request import Message
from arriero.inputs.row import BadRow, Row
from arriero.inputs.template import Template
from arriero.outputs.prompt import prompt_of, templated

BAD = BadRow(position=0, line=1, column=1, reason="x", hash=b"")


def row(**more):
    return Row(**({"position": 0, "line": 1, "raw": b'{"text":"hi"}'} | more))


def test_the_prompt_of_a_row_is_its_own():
    assert prompt_of(row(prompt="q")) == "q"
    assert prompt_of(BAD) is None


def test_the_prompt_of_a_chat_is_its_last_user_turn():
    turns = (Message("user", "first"), Message("user", "second"), Message("assistant", "third"))

    assert prompt_of(row(messages=turns)) == "second"
    assert prompt_of(row(messages=(Message("system", "only"),))) == "only"


def test_with_a_template_the_prompt_is_what_was_sent():
    prompt = templated(Template.parse("Sentiment of: {text}"))

    assert prompt(row()) == "Sentiment of: hi"
    assert prompt(BAD) is None


def test_a_row_that_the_template_could_not_fill_shows_its_own_prompt():
    assert templated(Template.parse("{gone}"))(row(prompt="own")) == "own"
