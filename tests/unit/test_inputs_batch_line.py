import json

import pytest

from arriero.core.outcome import FailureKind
from arriero.core.request import Message
from arriero.inputs.jsonl import parse_json
from arriero.inputs.lines import Line
from arriero.inputs.row import BadRow, Row

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def parse(body=None, url="/v1/chat/completions", **more):
    line = {"custom_id": "r-1", "method": "POST", "url": url, "body": CHAT if body is None else body, **more}
    return parse_json(0, Line(1, 0, json.dumps(line).encode()))


def good(*args, **options):
    row = parse(*args, **options)
    assert isinstance(row, Row), row
    return row


def test_a_chat_line_becomes_a_chat():
    row = good({"model": "m", **CHAT})

    assert (row.id, row.model, row.endpoint, row.refusal) == ("r-1", "m", "/api/chat", None)
    assert row.messages == (Message(role="user", content="hi"),)
    assert row.options is None


@pytest.mark.parametrize(
    ("url", "body", "endpoint"),
    [
        ("/v1/chat/completions", CHAT, "/api/chat"),
        ("/chat/completions", CHAT, "/api/chat"),
        ("/api/chat", CHAT, "/api/chat"),
        ("/v1/completions", {"prompt": "hi"}, "/api/generate"),
        ("/api/generate", {"prompt": "hi"}, "/api/generate"),
        ("/v1/embeddings", {"input": "hi"}, "/api/embed"),
        ("/api/embed", {"input": "hi"}, "/api/embed"),
    ],
)
def test_each_url_has_its_endpoint(url, body, endpoint):
    row = good(body, url)

    assert row.endpoint == endpoint
    assert row.prompt == "hi" or row.messages[0].content == "hi"


@pytest.mark.parametrize(
    "url", ["/v1/responses", "http://169.254.169.254/v1/chat/completions", "/v1/api/chat", "", None]
)
def test_any_other_url_is_a_bad_line_that_names_what_is_supported(url):
    row = parse(CHAT, url)

    assert isinstance(row, BadRow)
    assert "is not served; supported: '/chat/completions'" in row.reason
    assert row.id == "r-1"


def test_openai_fields_become_ollama_options():
    row = good(
        {
            **CHAT,
            "temperature": 0,
            "top_p": 0.5,
            "seed": 7,
            "stop": "END",
            "presence_penalty": 0.1,
            "frequency_penalty": -0.1,
            "max_tokens": 5,
            "max_completion_tokens": 9,
            "reasoning_effort": "none",
            "user": "u",
            "stream": True,
            "store": True,
            "metadata": {"a": "b"},
            "n": 1,
            "tools": [],
            "logprobs": False,
            "top_k": None,
        }
    )

    assert row.refusal is None
    assert row.max_tokens == 9
    assert row.options == {
        "temperature": 0,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "think": False,
    }


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, b'"json"'),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}, b'{"type": "object"}'),
    ],
)
def test_response_formats_become_ollama_formats(asked, expected):
    row = good({**CHAT, "response_format": asked})

    assert (None if row.format is None else bytes(row.format)) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "auto"},
        {"functions": [{}]},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"logit_bias": {"1": 2}},
        {"response_format": {"type": "grammar"}},
        {"something_new": 1},
    ],
)
def test_what_would_be_dropped_silently_is_refused_by_name(more):
    row = good({**CHAT, **more})

    assert row.refusal.kind is FailureKind.UNSUPPORTED
    assert next(iter(more)) in row.refusal.detail


@pytest.mark.parametrize(
    ("body", "url", "reason"),
    [
        ({}, "/v1/chat/completions", "body has no messages"),
        ({"messages": []}, "/v1/chat/completions", "messages is empty"),
        ({**CHAT, "prompt": "x"}, "/v1/chat/completions", "body has messages and prompt"),
        ({**CHAT, "temperature": "hot"}, "/v1/chat/completions", "temperature: Expected"),
        ({**CHAT, "max_tokens": 0}, "/v1/chat/completions", "max_tokens must be positive"),
        ({**CHAT, "response_format": {"type": "json_schema"}}, "/v1/chat/completions", "response_format has no"),
        ({"prompt": " "}, "/v1/completions", "prompt is empty"),
        (CHAT, "/api/generate", "body has messages, which belong to a chat url"),
        ([], "/v1/chat/completions", "expected a JSON object, got array"),
        ("text", "/v1/chat/completions", "expected a JSON object, got str"),
    ],
)
def test_a_malformed_body_is_a_bad_line(body, url, reason):
    row = parse(body, url)

    assert isinstance(row, BadRow)
    assert row.reason.startswith(reason)


def test_a_method_other_than_post_is_a_bad_line():
    assert parse(method="GET").reason == "method must be POST"


def test_a_list_of_prompts_is_refused_because_a_row_is_one_request():
    assert (
        good({"input": ["a", "b"]}, "/v1/embeddings").refusal.detail == "input must be one string; a row is one request"
    )


def test_an_ollama_body_keeps_its_own_words():
    row = good(
        {
            "model": "m",
            "prompt": "hi",
            "system": "s",
            "options": {"num_ctx": 4096, "temperature": 0},
            "format": "json",
            "images": ["aGk="],
            "think": True,
            "stream": False,
            "keep_alive": "5m",
        },
        "/api/generate",
    )

    assert (row.prompt, row.system, row.model, row.images) == ("hi", "s", "m", ("aGk=",))
    assert row.options == {"num_ctx": 4096, "temperature": 0, "think": True}
    assert bytes(row.format) == b'"json"'


def test_only_the_four_fields_of_a_line_do_not_pass_through():
    assert bytes(good(note="x", prompt="y").extra) == b'{"note":"x","prompt":"y"}'
    assert good().extra is None
