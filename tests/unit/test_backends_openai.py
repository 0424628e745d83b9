import json
from math import inf

import msgspec
import pytest

from arriero.backends.openai import OpenAI
from arriero.backends.wire import HttpReply, UnsupportedError
from arriero.core.outcome import Failure, FailureKind, Observation, Success
from arriero.core.request import Attempt, Content, Message, Request, Timeouts, Unit

NEVER = Timeouts(inf, inf, inf)
UNIT = Unit("m", (("num_ctx", 4096),))
ROLE = b'data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
PIECE = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
STOP = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":16,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def attempt(content=None, **ways):
    request = None
    if content is not None:
        request = Request(batch=1, position=0, line=1, id="1", content=content, unit=UNIT)
    return Attempt(**{"id": 1, "instance": "a", "unit": UNIT, "request": request, "timeouts": NEVER, **ways})


def sent(content, **ways):
    call = OpenAI().call(attempt(content, **ways))
    return call.path, json.loads(call.body)


def judged(body, content=None, *, status=200, **ways):
    reply = HttpReply(status=status, body=body, latency_s=2.0, ttft_s=0.5)
    return OpenAI().outcome(attempt(content or Content(prompt="Hello"), **ways), reply)


def whole(**choice):
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop", **choice}
    return msgspec.json.encode({"model": "m", "choices": [choice]})


def test_a_prompt_is_sent_as_a_chat_completion():
    path, body = sent(Content(prompt="Hello", system="Be brief.", endpoint="/api/generate"), max_tokens=64)

    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 64,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_usage_is_asked_for_only_in_a_stream():
    assert "stream_options" not in sent(Content(prompt="Hello"), stream=False)[1]


def test_sampling_options_pass_and_those_of_ollama_alone_do_not():
    passed = {"temperature": 0, "top_p": 1, "seed": 1, "stop": ["x"], "top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1}
    kept = {"num_predict": 9, "num_ctx": 8192, "keep_alive": "1m", "shift": True, "stream": False, "model": "x"}
    _, body = sent(Content(prompt="Hello", options={**passed, **kept}), max_tokens=64)

    assert {name: body[name] for name in passed} == passed
    assert not {"num_predict", "num_ctx", "keep_alive", "shift"} & set(body)
    assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 64)


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        (b'"json"', {"type": "json_object"}),
        (
            b'{"type":"object"}',
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_formats_are_translated(wanted, written):
    assert sent(Content(prompt="Hello", format=msgspec.Raw(wanted)))[1]["response_format"] == written


@pytest.mark.parametrize(
    ("image", "uri"),
    [
        ("/9j/4AAQ", "data:image/jpeg;base64,/9j/4AAQ"),
        ("R0lGODlh", "data:image/gif;base64,R0lGODlh"),
        ("UklGRg==", "data:image/webp;base64,UklGRg=="),
        ("aGVsbG8=", "data:image/png;base64,aGVsbG8="),
        ("data:image/png;base64,iVBOR", "data:image/png;base64,iVBOR"),
    ],
)
def test_images_become_data_uris(image, uri):
    _, body = sent(Content(messages=(Message("user", "What is it?", (image,)),)))

    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": uri}},
    ]


def test_thinking_is_sent_only_if_the_user_says_something():
    assert "chat_template_kwargs" not in sent(Content(prompt="Hello"))[1]
    assert sent(Content(prompt="Hello", think=False))[1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent(Content(prompt="Hello", think="low"))[1]["reasoning_effort"] == "low"


def test_an_embedding_is_asked_for_as_numbers():
    path, body = sent(Content(prompt="a", endpoint="/api/embed", options={"dimensions": 8, "temperature": 0}))

    assert path == "/v1/embeddings"
    assert body == {"model": "m", "input": "a", "encoding_format": "float", "dimensions": 8}


def test_a_probe_makes_one_token():
    body = json.loads(OpenAI().call(attempt(purpose="probe")).body)

    assert body["max_tokens"] == 1
    assert body["messages"][0]["content"]


@pytest.mark.parametrize(
    "ways",
    [
        {"purpose": "preload"},
        {"purpose": "unload"},
        {"purpose": "discover", "subject": "version"},
        {"purpose": "discover", "subject": "resident"},
        {"purpose": "discover", "subject": "details"},
    ],
)
def test_what_the_dialect_has_no_call_for_is_unsupported(ways):
    with pytest.raises(UnsupportedError):
        OpenAI().call(attempt(**ways))


def test_models_are_listed_with_the_context_the_server_gives_them():
    ask = attempt(purpose="discover", subject="models", unit=None)
    body = (
        b'{"object":"list","data":[{"id":"vllm","max_model_len":4096},{"id":"cpp","meta":{"n_ctx":8192,"n_ctx_train":9999}},'
        b'{"id":"old","meta":{"n_ctx_train":9999}},{"id":"bare","meta":null,"max_model_len":null}]}'
    )
    seen = OpenAI().outcome(ask, HttpReply(status=200, body=body, latency_s=0.1))

    assert OpenAI().call(ask).path == "/v1/models"
    assert isinstance(seen, Observation)
    assert [(model.name, model.context_tokens) for model in seen.models] == [
        ("vllm", 4096),
        ("cpp", 8192),
        ("old", None),
        ("bare", None),
    ]


@pytest.mark.parametrize(
    ("chunk", "began"),
    [
        (ROLE, False),
        (PIECE, True),
        (STOP, False),
        (USAGE, False),
        (DONE, False),
        (ROLE + PIECE, True),
        (b'data: {"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"reasoning":"Hm"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":null,"tool_calls":[]}}]}\n\n', False),
    ],
)
def test_a_piece_with_only_a_role_begins_nothing(chunk, began):
    assert OpenAI().began(chunk) is began


def test_a_stream_is_a_success_with_its_usage():
    outcome = judged(ROLE + PIECE + PIECE + STOP + USAGE + DONE)

    assert isinstance(outcome, Success)
    assert (outcome.text, outcome.finish_reason, outcome.model) == ("HiHi", "stop", "m")
    assert (outcome.usage.prompt_tokens, outcome.usage.output_tokens) == (16, 2)
    assert (outcome.timing.total_s, outcome.timing.prefill_s, outcome.timing.ttft_s) == (None, None, 0.5)


def test_llama_servers_own_timings_are_read_from_milliseconds():
    body = whole()[:-1] + b',"timings":{"prompt_ms":500,"predicted_ms":1500.0}}'

    assert (judged(body).timing.prefill_s, judged(body).timing.decode_s) == (0.5, 1.5)


@pytest.mark.parametrize(
    "body",
    [
        whole(),
        b"\n" + whole() + b"\n",
        PIECE.replace(b"data: ", b"") + STOP.replace(b"data: ", b""),
        b": ping\n\n" + PIECE.replace(b"\n", b"\r\n") + STOP + DONE,
        PIECE + STOP + b"data:[DONE]",
    ],
)
def test_an_answer_is_taken_by_what_it_is(body):
    assert judged(body).text == "Hi"


def test_thoughts_are_kept_apart_from_the_answer():
    outcome = judged(whole(message={"content": "Hi", "reasoning_content": "Hm"}))

    assert (outcome.text, outcome.thinking) == ("Hi", "Hm")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("content_filter", "content_filter"),
        ("?", "stop"),
    ],
)
def test_the_end_has_one_of_three_names(reason, finish):
    assert judged(whole(finish_reason=reason)).finish_reason == finish


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        ROLE + PIECE,
        ROLE + PIECE + STOP,
        ROLE + PIECE + DONE,
        PIECE + STOP + DONE + PIECE,
        b"event: x\n" + PIECE + STOP + DONE + PIECE,
        PIECE + STOP + PIECE + DONE,
        PIECE + STOP + DONE + b"nonsense",
        PIECE + PIECE.replace(b'"m"', b'"n"') + STOP + DONE,
        whole(finish_reason=None),
        whole() + whole(),
        whole()[:-3],
        whole().replace(b'"m"', b'"other"'),
        b'{"model":"m","choices":[]}',
        b'{"model":"m","choices":[{"index":0,"message":{"content":[1]},"finish_reason":"stop"}]}',
        b'{"choices":' + b"[" * 200_000,
    ],
)
def test_a_200_that_is_no_whole_answer_is_a_bad_reply(body):
    outcome = judged(body)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.BAD_REPLY


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}', "overloaded"),
        (ROLE + b'data: {"error":{"message":"the request exceeds the available context size"}}\n\n', "too_long"),
        (b'error: {"code":400,"message":"oops","type":"exceed_context_size_error"}\n\n', "too_long"),
        (b'{"error":"Unexpected endpoint or method. (POST /v1/x)"}', "unsupported"),
        (b'{"error":"odd"}', "bad_reply"),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_text(body, kind):
    assert judged(body).kind.value == kind


@pytest.mark.parametrize(
    ("asked", "named", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("openai/gpt-4o", "gpt-4o", True),
        ("/models/smol.gguf", "smol.gguf", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("a", "b", False),
    ],
)
def test_snapshots_and_paths_of_a_model_are_the_model(asked, named, same):
    body = whole().replace(b'"m"', msgspec.json.encode(named))

    assert isinstance(judged(body, unit=Unit(asked)), Success) is same


def test_an_embedding_is_a_success_with_its_vector():
    content = Content(prompt="a", endpoint="/api/embed")
    outcome = judged(b'{"model":"m","data":[{"index":0,"embedding":[0.5,1]}],"usage":{"prompt_tokens":4}}', content)

    assert bytes(outcome.embeddings) == b"[[0.5,1]]"
    assert outcome.usage.prompt_tokens == 4
    assert judged(b'{"model":"m","data":[]}', content).kind is FailureKind.BAD_REPLY
    assert judged(b'{"model":"m","data":[{"embedding":"pEL6vA=="}]}', content).kind is FailureKind.BAD_REPLY


@pytest.mark.parametrize("damage", [(b"\n\ndata: [DONE]", b"[DONE]"), (b"\n\ndata: {", b"\n\ndata\r: {")])
def test_an_end_or_a_piece_that_was_torn_from_its_line_is_no_success(damage):
    stream = PIECE + PIECE + STOP + DONE

    assert isinstance(judged(stream), Success)
    assert judged(stream.replace(*damage, 1)).kind is FailureKind.BAD_REPLY
