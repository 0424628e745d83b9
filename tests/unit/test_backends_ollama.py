import json
from math import inf

import msgspec
import pytest

from arriero.backends.ollama import Ollama
from arriero.backends.wire import Broken, HttpReply, UnsupportedError
from arriero.core.outcome import Failure, FailureKind, Success
from arriero.core.request import Attempt, Content, Message, Request, Timeouts, Unit

NEVER = Timeouts(inf, inf, inf)
UNIT = Unit("m:1b", (("num_ctx", 4096), ("num_thread", 2)))
LINE = b'{"model":"m:1b","message":{"role":"assistant","content":"Hi"},"done":false}\n'
END = (
    b'{"model":"m:1b","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"total_duration":9000000000,"load_duration":1000000000,"prompt_eval_count":16,"prompt_eval_duration":2000000000,'
    b'"eval_count":8,"eval_duration":3000000000}\n'
)


def attempt(content=None, **ways):
    request = None
    if content is not None:
        request = Request(batch=1, position=0, line=1, id="1", content=content, unit=UNIT)
    return Attempt(**{"id": 1, "instance": "a", "unit": UNIT, "request": request, "timeouts": NEVER, **ways})


def sent(content, **ways):
    call = Ollama().call(attempt(content, **ways))
    return call.path, json.loads(call.body)


def judged(body, content=None, *, status=200, broken=None, ttft_s=0.5, **ways):
    reply = HttpReply(status=status, body=body, latency_s=2.0, ttft_s=ttft_s, broken=broken)
    return Ollama().outcome(attempt(content or Content(prompt="Hello"), **ways), reply)


def test_a_prompt_is_sent_as_a_chat_with_what_is_always_sent():
    path, body = sent(Content(prompt="Hello", system="Be brief."), max_tokens=64)

    assert path == "/api/chat"
    assert body == {
        "model": "m:1b",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "stream": True,
        "truncate": False,
        "think": False,
        "options": {"num_ctx": 4096, "num_thread": 2, "num_predict": 64},
    }


def test_keep_alive_and_shift_are_sent_only_if_the_user_says_so():
    _, plain = sent(Content(prompt="Hello", options={"temperature": 0.2}))
    _, asked = sent(Content(prompt="Hello", options={"shift": False, "keep_alive": "10m", "logprobs": True}))

    assert not {"keep_alive", "shift"} & {*plain, *plain["options"]}
    assert (asked["shift"], asked["keep_alive"], asked["logprobs"]) == (False, "10m", True)
    assert not {"keep_alive", "shift", "logprobs"} & set(asked["options"])


def test_the_limit_of_tokens_and_the_runner_options_cannot_be_said_twice():
    options = {"num_predict": -1, "num_ctx": 8192, "truncate": True, "temperature": 0.2}
    _, body = sent(Content(prompt="Hello", options=options), max_tokens=64)

    assert body["options"] == {"num_ctx": 4096, "num_thread": 2, "num_predict": 64, "temperature": 0.2}
    assert body["truncate"] is False


def test_runner_options_of_a_unit_are_the_same_bytes_in_every_request():
    bodies = [
        Ollama().call(attempt(Content(prompt=prompt, options=options), unit=Unit("m:1b", tuple(order)))).body
        for prompt, options, order in (
            ("a", {"temperature": 1}, UNIT.options),
            ("b", {}, reversed(UNIT.options)),
        )
    ]

    assert all(b'"options":{"num_ctx":4096,"num_thread":2,' in body for body in bodies)


def test_thinking_format_and_streaming_are_sent_as_wanted():
    _, body = sent(Content(prompt="Hello", think="high", format=msgspec.Raw(b'{"type":"object"}')), stream=False)

    assert (body["think"], body["format"], body["stream"]) == ("high", {"type": "object"}, False)


@pytest.mark.parametrize(
    "content",
    [
        Content(prompt="Hello", system="Be brief.", images=("aGk=",)),
        Content(messages=(Message("user", "Hello", ("aGk=",)),), system="Be brief."),
        Content(messages=(Message("system", "Be brief."), Message("user", "Hello", ("aGk=",)))),
    ],
)
def test_a_gateway_that_only_generates_gets_one_user_turn_as_a_prompt(content):
    path, body = sent(content, endpoint="/api/generate")

    assert path == "/api/generate"
    assert (body["prompt"], body["system"], body["images"]) == ("Hello", "Be brief.", ["aGk="])
    assert "messages" not in body


@pytest.mark.parametrize(
    ("content", "endpoint"),
    [
        (Content(messages=(Message("user", "a"), Message("assistant", "b"), Message("user", "c"))), "/api/generate"),
        (Content(messages=(Message("assistant", "b"),)), "/api/generate"),
        (Content(prompt="a", endpoint="/api/embed"), "/api/generate"),
        (Content(prompt="a", system="b", endpoint="/api/embed"), ""),
        (Content(prompt="a", endpoint="/v1/chat/completions"), ""),
        (Content(prompt="half a pair: \ud83d"), ""),
    ],
)
def test_what_an_endpoint_cannot_say_is_unsupported(content, endpoint):
    with pytest.raises(UnsupportedError):
        Ollama().call(attempt(content, endpoint=endpoint))


def test_raw_belongs_beside_the_options_of_a_generation():
    _, body = sent(Content(prompt="a", options={"raw": True}, endpoint="/api/generate"))

    assert body["raw"] is True
    assert "raw" not in body["options"]


def test_an_embedding_has_an_input_and_neither_stream_nor_tokens():
    path, body = sent(Content(prompt="a", endpoint="/api/embed", options={"dimensions": 8}))

    assert path == "/api/embed"
    assert body == {
        "model": "m:1b",
        "input": "a",
        "dimensions": 8,
        "truncate": False,
        "options": {"num_ctx": 4096, "num_thread": 2},
    }
    assert Ollama().call(attempt(Content(prompt="a", endpoint="/api/embed"))).stream is False


@pytest.mark.parametrize(
    ("purpose", "endpoint", "path", "empty"),
    [
        ("preload", "", "/api/chat", {"messages": []}),
        ("preload", "/api/generate", "/api/generate", {"prompt": ""}),
        ("preload", "/api/embed", "/api/embed", {"input": []}),
        ("unload", "", "/api/chat", {"messages": [], "keep_alive": 0}),
        ("unload", "/api/embed", "/api/generate", {"prompt": "", "keep_alive": 0}),
    ],
)
def test_loading_sends_no_prompt_and_unloading_also_keep_alive_0(purpose, endpoint, path, empty):
    call = Ollama().call(attempt(purpose=purpose, endpoint=endpoint))

    assert call.path == path
    assert json.loads(call.body) == {"model": "m:1b", "stream": False, "options": dict(UNIT.options), **empty}


def test_a_probe_makes_one_token_with_the_units_options():
    call = Ollama().call(attempt(purpose="probe"))
    body = json.loads(call.body)

    assert body["options"] == {"num_ctx": 4096, "num_thread": 2, "num_predict": 1}
    assert body["messages"][0]["content"]
    assert call.stream


@pytest.mark.parametrize(
    ("subject", "method", "path", "body"),
    [
        ("version", "GET", "/api/version", None),
        ("models", "GET", "/api/tags", None),
        ("resident", "GET", "/api/ps", None),
        ("details", "POST", "/api/show", b'{"model":"m:1b"}'),
    ],
)
def test_discovery_asks_one_question_each(subject, method, path, body):
    call = Ollama().call(attempt(purpose="discover", subject=subject))

    assert (call.method, call.path, call.body, call.stream) == (method, path, body, False)


@pytest.mark.parametrize(
    ("chunk", "began"),
    [
        (LINE, True),
        (END, False),
        (b'{"response":"a","done":true}', True),
        (b'{"response":"","done":true}', False),
        (b'{"response": "", "done": false}\n{"response": "a", "done": false}\n', True),
        (b'{"message":{"content":"","thinking":"Hm"},"done":false}\n', True),
        (b'{"message":{"content":"","tool_calls":[{"function":{}}]},"done":false}\n', True),
        (b'{"message":{"content":"","tool_calls":[]},"done":true}\n', False),
        (b'{"error":"no \\"content\\":\\"x\\" here"}\n', False),
        (LINE[: LINE.index(b'i"')], True),
        (LINE[: LINE.index(b"Hi")], False),
        (b'Hi"},"done":false}\n', True),
        (b'"},"done":false}\n', False),
        (b'ent":""},"done":false}\n', False),
        (b'onse":"a","done":false}\n', True),
        (b'"done":true}\n', False),
        (b"", False),
    ],
)
def test_the_first_piece_with_text_begins_an_answer(chunk, began):
    assert Ollama().began(chunk) is began


def test_an_answer_cut_over_two_pieces_begins_with_its_first_letter_at_the_earliest():
    stream = LINE + END
    letter = LINE.index(b"Hi")

    for cut in range(len(LINE)):
        first, second = Ollama().began(stream[:cut]), Ollama().began(stream[cut:])
        assert first is (cut > letter)
        assert first or second


def test_a_stream_is_a_success_with_counts_and_times_in_seconds():
    outcome = judged(LINE * 3 + END)

    assert isinstance(outcome, Success)
    assert (outcome.text, outcome.finish_reason, outcome.model) == ("HiHiHi", "stop", "m:1b")
    assert (outcome.usage.prompt_tokens, outcome.usage.output_tokens) == (16, 8)
    timing = outcome.timing
    assert (timing.total_s, timing.load_s, timing.prefill_s, timing.decode_s) == (9.0, 1.0, 2.0, 3.0)
    assert (timing.latency_s, timing.ttft_s, timing.queue_s) == (2.0, 0.5, 3.0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"response":"Hi","done":true}',  # a gateway: no model, no reason, no times
        b' \n{\n "response": "Hi",\n "done": true, "error": null\n}\n',
        b'data: {"response":"H","done":false}\n\ndata: {"response":"i","done":true}\n\ndata: [DONE]\n\n',
        b': hello\r\nevent: x\r\ndata: {"message":{"content":"Hi"},"done":true}\r\n\r\n',
        b'{"response":"H","done":false}{"response":"i","done":true,"done_reason":""}',
        b'{"response":"Hi","done":true,"eval_count":"8","eval_duration":-5,"total_duration":1e300,"load_duration":true}',
    ],
)
def test_a_gateways_answer_is_taken_by_what_it_is(body):
    outcome = judged(body, ttft_s=None)

    assert isinstance(outcome, Success)
    assert (outcome.text, outcome.finish_reason) == ("Hi", "stop")
    assert outcome.usage.output_tokens is None
    assert (outcome.timing.decode_s, outcome.timing.load_s, outcome.timing.total_s) == (None, None, None)


def test_thoughts_are_kept_apart_from_the_answer():
    first = b'{"message":{"content":"","thinking":"Hm"},"done":false}\n'

    assert judged(first + first + LINE + END).thinking == "HmHm"
    assert judged(first + first + LINE + END).text == "Hi"


def test_an_answer_that_only_calls_tools_is_a_success():
    body = b'{"model":"m:1b","message":{"role":"assistant","content":"","tool_calls":[{"function":{}}]},"done":true}'

    assert judged(body).text == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n ",
        b"<!DOCTYPE html><html></html>",
        b"Ollama is running",
        b"[]",
        b"null",
        LINE,
        LINE + END[:-20],
        LINE + END + END,
        LINE + END + LINE,
        LINE + END + b"garbage",
        END + b'{"error":""}',
        LINE.replace(b"Hi", b"\xff") + END,
        LINE.replace(b"m:1b", b"other") + END,
        LINE.replace(b"m:1b", b"other") + END.replace(b"m:1b", b"other"),
        b'{"done":true}',
        b'{"model": "m:1b", "response": "Error: No response from distributed inference", "done": true}',
        b'{"model":5,"response":"Hi","done":true}',
        b'{"response":"\\ud800","done":true}',
        b'{"response":"Hi","done":true,"eval_count":NaN}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"data: [DONE]\n\n",
        b'data: {"response":"Hi","done":true}\n\ndata: [DONE]\n\ndata: {"response":"Hi","done":true}\n\n',
    ],
)
def test_a_200_that_is_no_whole_answer_is_a_bad_reply(body):
    outcome = judged(body)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.BAD_REPLY
    assert (outcome.status, outcome.began, outcome.latency_s) == (200, True, 2.0)
    assert not outcome.repeated


@pytest.mark.parametrize(
    ("asked", "named", "same"),
    [
        ("m", "m:latest", True),
        ("m:latest", "m", True),
        ("M:1B", "m:1b", True),
        ("registry.ollama.ai/library/m:1b", "m:1b", True),
        ("gpt-oss:120b-cloud", "gpt-oss:120b", True),
        ("m:1b", "", True),
        ("m:1b", "m:2b", False),
        ("m:1b", "m", False),
    ],
)
def test_names_of_a_model_are_compared_as_ollama_spells_them(asked, named, same):
    body = msgspec.json.encode({"model": named, "response": "Hi", "done": True})
    outcome = judged(body, unit=Unit(asked))

    assert isinstance(outcome, Success) is same


@pytest.mark.parametrize(
    ("error", "kind", "crashed"),
    [
        ("an error was encountered while running the model: unexpected EOF", "server_error", True),
        ("llama runner process no longer running: -1 ", "server_error", True),
        ("llama-server process has terminated: signal: killed", "server_error", False),
        ("server busy, please try again.  maximum pending requests exceeded", "overloaded", False),
        ("model 'm:1b' not found", "model_missing", False),
        ("the input length exceeds the context length", "too_long", False),
        ('"m:1b" does not support chat', "unsupported", False),
        ('option "temperature" must be of type float32', "rejected", False),
        ("something went wrong", "bad_reply", False),
        ({"message": "Loading model", "type": "unavailable_error", "code": 503}, "overloaded", False),
        ({"odd": [1]}, "bad_reply", False),
        (7, "bad_reply", False),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_text(error, kind, crashed):
    outcome = judged(LINE + msgspec.json.encode({"error": error}))

    assert (outcome.kind.value, outcome.crashed, outcome.began) == (kind, crashed, True)


@pytest.mark.parametrize(
    ("pieces", "repeated"),
    [
        (['"', *[" no"] * 31], True),
        (['"', *[" no"] * 20], False),
        ([" no" * 31], True),
        (["\n", " \n"] * 16, True),
        (["A sentence that stops in the midd"], False),
    ],
)
def test_an_answer_that_stopped_while_repeating_itself_says_so(pieces, repeated):
    outcome = judged(b"".join(msgspec.json.encode({"response": piece, "done": False}) for piece in pieces))

    assert outcome.kind is FailureKind.BAD_REPLY
    assert outcome.repeated is repeated


def test_a_server_that_only_loads_the_model_has_not_answered():
    outcome = judged(b'{"model":"m:1b","response":"","done":true,"done_reason":"load"}', endpoint="/api/generate")

    assert outcome.kind is FailureKind.BAD_REPLY


@pytest.mark.parametrize(
    ("purpose", "endpoint", "body", "reason"),
    [
        ("preload", "", b'{"message":{"content":""},"done":true,"done_reason":"load"}', "load"),
        ("preload", "", b'{"response":"","done":true}', "load"),
        ("preload", "/api/embed", b'{"model":"m:1b","embeddings":[]}', "load"),
        ("unload", "", b'{"message":{"content":""},"done":true,"done_reason":"unload"}', "unload"),
    ],
)
def test_loading_and_unloading_succeed_without_an_answer(purpose, endpoint, body, reason):
    outcome = Ollama().outcome(attempt(purpose=purpose, endpoint=endpoint), HttpReply(status=200, body=body))

    assert outcome.finish_reason == reason


@pytest.mark.parametrize(
    ("embeddings", "right"),
    [("[[0.5,-1]]", True), ("[]", False), ("[[]]", False), ("[[1],[2]]", False), ("[null]", False), ('["x"]', False)],
)
def test_one_text_has_one_embedding(embeddings, right):
    content = Content(prompt="a", endpoint="/api/embed")
    outcome = judged(f'{{"model":"m:1b","embeddings":{embeddings},"prompt_eval_count":4}}'.encode(), content)

    assert isinstance(outcome, Success) is right
    assert not right or (bytes(outcome.embeddings), outcome.usage.prompt_tokens) == (b"[[0.5,-1]]", 4)


@pytest.mark.parametrize("kind", [FailureKind.UNREACHABLE, FailureKind.TIMEOUT, FailureKind.CANCELLED])
def test_a_broken_exchange_keeps_its_kind_even_if_the_answer_looks_whole(kind):
    outcome = judged(LINE + END, broken=Broken(kind, "connection lost"))

    assert (outcome.kind, outcome.detail, outcome.began) == (kind, "connection lost", True)
    assert outcome.crashed is (kind is FailureKind.UNREACHABLE)
