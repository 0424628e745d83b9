"""Both dialects against every recorded reply of real Ollama servers of two generations, and against damaged ones.

Every ``*.jsonl`` in ``recordings`` is played, and so is one that is laid beside the others: ``record.py`` makes it from
a live server. ``ARRIERO_TEST_RECORDINGS`` names another folder, to look at a release before it is kept.
"""

from __future__ import annotations

import json
import os
from math import inf
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.backends.dialects import backend
from arriero.backends.wire import Broken, HttpReply
from arriero.core.outcome import Failure, FailureKind, Observation, Success
from arriero.core.queue import Open
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit
from arriero.core.verdict import judge_success

OURS = Path(__file__).parent / "recordings"
RECORDINGS = Path(os.environ.get("ARRIERO_TEST_RECORDINGS") or OURS)
VERSIONS = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))


def recorded(version):
    lines = (RECORDINGS / f"{version}.jsonl").read_bytes().splitlines()
    return {case["case"]: case for case in map(json.loads, lines)}


def is_old(version):
    """Whether Ollama still had its own runner: 0.30 brought llama-server, and other words."""
    major, minor, *_ = (int(part) for part in version.removeprefix("v").split("."))
    return (major, minor) < (0, 30)


CASES = {version: recorded(version) for version in VERSIONS}
SUBJECTS = {"/api/version": "version", "/api/tags": "models", "/api/show": "details", "/api/ps": "resident"}
NEVER = Timeouts(inf, inf, inf)

ENDINGS = ("stop", "length")
UNUSABLE_SCHEMA = {200: "length", 400: "rejected", 500: "rejected"}  # some builds of llama-server pass over it

# What each exchange is worth: a finish reason, "observed", or a failure kind. Two values: before 0.30, then since; by
# status where builds of one release differ. An answer ends as the server itself says: its words differ by processor.
EXPECTED = {
    "chat-bad-format": "rejected",
    "chat-bad-format-nonstream": "rejected",
    "chat-bad-format-number": "rejected",
    "chat-bad-json": "rejected",
    "chat-bad-keep-alive": "rejected",
    "chat-bad-option-float-int": "length",
    "chat-bad-option-num-ctx": "rejected",
    "chat-bad-option-stop": "rejected",
    "chat-bad-option-type": "rejected",
    "chat-bad-option-type-nonstream": "rejected",
    "chat-bad-schema": UNUSABLE_SCHEMA,
    "chat-bad-schema-ref": UNUSABLE_SCHEMA,
    "chat-bad-schema-stream": UNUSABLE_SCHEMA,
    "chat-body-not-object": "rejected",
    "chat-busy-503": "overloaded",
    "chat-context-full": "length",
    "chat-context-full-shift-false": "length",
    "chat-context-full-truncate-false": "length",
    "chat-death": "server_error crashed",
    "chat-death-stream": "server_error crashed began",
    "chat-empty-body": "rejected",
    "chat-empty-model": "rejected",
    "chat-format-json": "length",
    "chat-format-schema": "stop",
    "chat-format-schema-stream": "length",
    "chat-get": "unsupported",
    "chat-images": ("length", "unsupported"),
    "chat-images-bad-base64": "rejected",
    "chat-invalid-model-name": "rejected",
    "chat-length": "length",
    "chat-logprobs": "length",
    "chat-logprobs-stream": "length",
    "chat-logprobs-too-many": "rejected",
    "chat-missing-model": "model_missing",
    "chat-no-model": "rejected",
    "chat-num-predict-0": "stop",
    "chat-num-predict-0-stream": "stop",
    "chat-num-predict-1": "length",
    "chat-num-predict-minus-2": "stop",
    "chat-preload": "load",
    "chat-repeat-abort": "bad_reply repeated began",
    "chat-repeat-abort-stream": "bad_reply repeated began",
    "chat-role-unknown": "length",
    "chat-schema-empty": "length",
    "chat-server-sigkill": "unreachable crashed",
    "chat-server-sigkill-stream": "unreachable crashed began",
    "chat-server-sigterm": "unreachable crashed",
    "chat-server-sigterm-stream": "unreachable crashed began",
    "chat-stop": "stop",
    "chat-stop-word": "stop",
    "chat-stream-length": "length",
    "chat-stream-stop": "stop",
    "chat-system": "length",
    "chat-think-bad": "rejected",
    "chat-think-false": "length",
    "chat-think-high": "unsupported",
    "chat-think-true": "unsupported",
    "chat-think-true-stream": "unsupported",
    "chat-toolong-both-false": "too_long",
    "chat-toolong-default": "length",
    "chat-toolong-many-messages": "length",
    "chat-toolong-shift-false": ("length", "too_long"),
    "chat-toolong-truncate-false": "too_long",
    "chat-toolong-truncate-false-stream": "too_long",
    "chat-tools": "unsupported",
    "chat-unknown-field": "length",
    "chat-unknown-option": "length",
    "chat-unload": "unload",
    "chat-unload-not-loaded": "unload",
    "chat-wrong-type-content": "rejected",
    "chat-wrong-type-messages": "rejected",
    "embed-bad-json": "rejected",
    "embed-dimensions": ("stop", "unsupported"),
    "embed-empty-in-list": ("rejected", "unsupported"),
    "embed-empty-list": "bad_reply",  # a 200 without an embedding
    "embed-empty-model": "model_missing",
    "embed-empty-string": "bad_reply",
    "embed-list": ("bad_reply", "unsupported"),  # two embeddings; a row has one text
    "embed-list-mixed": "rejected",
    "embed-list-one-toolong": {400: "too_long", 501: "unsupported"},
    "embed-missing-model": "model_missing",
    "embed-number": "rejected",
    "embed-one": ("stop", "unsupported"),
    "embed-toolong-default": ("stop", "unsupported"),
    "embed-toolong-truncate-false": "too_long",
    "embedder-chat": "unsupported",  # a model that only embeds
    "embedder-chat-preload": "unsupported",
    "embedder-chat-unload": "unload",
    "embedder-death": "server_error crashed",  # a 400 on both
    "embedder-death-waiting": "server_error crashed",
    "embedder-embed": "stop",
    "embedder-embed-preload": "load",
    "embedder-generate": "unsupported",
    "embedder-generate-preload": "unsupported",
    "embedder-generate-unload": "unload",
    "embeddings-old": ("bad_reply", "unsupported"),  # the old endpoint's shape is not that of /api/embed
    "generate-bad-format": "rejected",
    "generate-bad-json": "rejected",
    "generate-bad-option-type": "rejected",
    "generate-bad-schema": UNUSABLE_SCHEMA,
    "generate-death-stream": "server_error crashed began",
    "generate-empty-model": "model_missing",
    "generate-images": ("length", "unsupported"),
    "generate-invalid-model-name": "rejected",
    "generate-length": "length",
    "generate-missing-model": "model_missing",
    "generate-preload": "load",
    "generate-preload-prompt-empty": "load",
    "generate-put": "unsupported",
    "generate-raw": "length",
    "generate-raw-system": "unsupported",
    "generate-repeat-abort": "bad_reply repeated began",
    "generate-repeat-abort-stream": "bad_reply repeated began",
    "generate-stop": "stop",
    "generate-stream-length": "length",
    "generate-stream-stop": "stop",
    "generate-suffix": "unsupported",
    "generate-system": "length",
    "generate-think-true": "unsupported",
    "generate-toolong-default": "length",
    "generate-toolong-raw": "length",
    "generate-toolong-truncate-false": "too_long",
    "generate-toolong-truncate-false-stream": "too_long",
    "generate-wrong-type-prompt": "rejected",
    "ps-600": "observed",
    "ps-empty": "observed",
    "ps-forever": "observed",
    "ps-loaded": "observed",
    "root-get": "bad_reply",
    "root-head": "bad_reply",
    "show": "observed",
    "show-missing": "model_missing",
    "show-no-model": "rejected",
    "tags": "observed",
    "tags-post": "unsupported",
    "unknown-endpoint": "unsupported",
    "unknown-endpoint-get": "unsupported",
    "v1-busy-503": "overloaded",
    "v1-chat-bad-format": "length",
    "v1-chat-bad-json": "rejected",
    "v1-chat-empty-model": "rejected",
    "v1-chat-get": "unsupported",
    "v1-chat-image-url": "unsupported",
    "v1-chat-length": "length",
    "v1-chat-logprobs": "length",
    "v1-chat-max-tokens-0": "stop",
    "v1-chat-missing-model": "model_missing",
    "v1-chat-n-2": "length",
    "v1-chat-no-messages": "rejected",
    "v1-chat-schema": "stop",
    "v1-chat-stop": "stop",
    "v1-chat-stream-length": "length",
    "v1-chat-stream-stop": "stop",
    "v1-chat-stream-usage": "length",
    "v1-chat-toolong": "length",
    "v1-chat-unknown-field": "length",
    "v1-chat-wrong-type": "rejected",
    "v1-completions": "length",
    "v1-completions-stream": "length",
    "v1-death": "server_error crashed",
    "v1-death-stream": "bad_reply began",  # the text of the error is lost on the way
    "v1-embeddings": ("bad_reply", "unsupported"),  # two embeddings; a row has one text
    "v1-embeddings-base64": ("bad_reply", "unsupported"),  # never asked for: numbers are wanted
    "v1-embeddings-missing": "model_missing",
    "v1-model": "bad_reply",  # one model is no listing
    "v1-model-missing": "model_missing",
    "v1-models": "observed",
    "v1-repeat-abort": "bad_reply repeated began",
    "v1-repeat-abort-stream": "bad_reply repeated began",
    "v1-server-sigkill-stream": "unreachable crashed began",
    "v1-server-sigterm-stream": "unreachable crashed began",
    "v1-unknown": "unsupported",
    "version": "observed",
    "version-head": "bad_reply",
}
EVERY = [(version, name) for version in VERSIONS for name in CASES[version]]
STREAMS = [
    (version, name)
    for version, name in EVERY
    if CASES[version][name]["headers"].get("content-type", "").startswith(("application/x-ndjson", "text/event-stream"))
]


def dialect(case):
    return backend("openai" if case["request"]["path"].startswith("/v1/") else "ollama")


def attempt_of(name, case):
    path, body = case["request"]["path"], case["request"]["body"]
    asked = body if isinstance(body, dict) else {}
    unit = Unit(asked.get("model", "smollm2:135m"))
    ways = {"unit": unit, "stream": asked.get("stream", not path.startswith("/v1/")), "timeouts": NEVER}
    if path.startswith("/v1/model"):
        return Attempt(id=1, instance="a", purpose="discover", subject="models", **ways)
    if path in ("/", *SUBJECTS):
        return Attempt(id=1, instance="a", purpose="discover", subject=SUBJECTS.get(path, "version"), **ways)
    purpose = next((purpose for purpose in ("preload", "unload") if f"-{purpose}" in name), "request")
    if purpose != "request":
        return Attempt(id=1, instance="a", purpose=purpose, endpoint=path, **ways)
    endpoint = {"/api/embeddings": "/api/embed", "/v1/embeddings": "/api/embed"}.get(path, path)
    content = Content(prompt="Tell me about llamas.", endpoint=endpoint)
    request = Request(batch=1, position=0, line=1, id="1", content=content, unit=unit)
    return Attempt(id=1, instance="a", request=request, **ways)


def body_of(case):
    return "".join(chunk["text"] for chunk in case["chunks"]).encode()


def reply_of(case):
    began = dialect(case).began
    at = next((chunk["t_s"] for chunk in case["chunks"] if began(chunk["text"].encode())), None)
    lost = case["connection_error"]
    return HttpReply(
        status=case["status"] or 0,
        content_type=case["headers"].get("content-type", "").partition(";")[0],
        body=body_of(case),
        broken=Broken(FailureKind.UNREACHABLE, "connection lost") if lost else None,
        latency_s=case["end_t_s"],
        ttft_s=at,
    )


def judged(version, name):
    case = CASES[version][name]
    return dialect(case).outcome(attempt_of(name, case), reply_of(case))


def said(outcome):
    if isinstance(outcome, Observation):
        return "observed"
    if isinstance(outcome, Success):
        return outcome.finish_reason
    marks = [mark for mark in ("crashed", "repeated", "began") if getattr(outcome, mark)]
    return " ".join([outcome.kind.value, *marks])


def objects(case):
    """The JSON objects of a recorded body, read without the code under test."""
    for line in body_of(case).decode().split("\n"):
        text = line.removeprefix("data: ")
        if text.startswith("{"):
            yield json.loads(text)


def stated(case):
    """The last reason to end that a recorded body names; None if it names none."""
    told = [
        thing.get("done_reason") or (thing.get("choices") or [{}])[0].get("finish_reason") for thing in objects(case)
    ]
    return next((reason for reason in reversed(told) if reason), None)


def words(thing):
    """The text of one recorded object."""
    if "choices" in thing:
        choice = thing["choices"][0] if thing["choices"] else {}
        turn = choice.get("message") or choice.get("delta") or {}
        return turn.get("content") or choice.get("text") or ""
    return thing.get("response") or thing.get("message", {}).get("content") or ""


def test_no_recording_and_no_recorded_case_is_left_out():
    assert VERSIONS
    assert RECORDINGS != OURS or {is_old(version) for version in VERSIONS} == {True, False}
    assert sorted(path.name for path in RECORDINGS.iterdir()) == [f"{version}.jsonl" for version in VERSIONS]
    for version in VERSIONS:
        lines = (RECORDINGS / f"{version}.jsonl").read_bytes().splitlines()
        assert len(lines) == len(CASES[version]) == len(EXPECTED) == 174
        assert set(CASES[version]) == set(EXPECTED)
        assert {case["version"] for case in CASES[version].values()} == {version}


@pytest.mark.parametrize(("version", "name"), EVERY)
def test_every_recorded_reply_is_judged_as_the_table_says(version, name):
    expected, case = EXPECTED[name], CASES[version][name]
    if isinstance(expected, tuple):
        expected = expected[0 if is_old(version) else 1]
    if isinstance(expected, dict):
        expected = expected[case["status"]]
    if expected in ENDINGS:
        expected = stated(case) or expected  # an embedding names none

    assert said(judged(version, name)) == expected


@pytest.mark.parametrize(("version", "name"), EVERY)
def test_a_success_has_the_text_that_was_sent(version, name):
    outcome = judged(version, name)
    if not isinstance(outcome, Success) or outcome.embeddings is not None:
        return
    case = CASES[version][name]

    assert outcome.text == "".join(words(thing) for thing in objects(case))
    assert outcome.model == case["request"]["body"]["model"]
    assert outcome.timing.latency_s == case["end_t_s"]


@pytest.mark.parametrize(("version", "name"), EVERY)
def test_the_first_piece_with_text_is_the_first_token(version, name):
    case = CASES[version][name]
    began = dialect(case).began
    pieces = [chunk["text"] for chunk in case["chunks"]]
    with_text = [any(words(thing) for thing in objects({"chunks": [{"text": piece}]})) for piece in pieces]

    assert [began(piece.encode()) for piece in pieces] == with_text


@pytest.mark.parametrize(("version", "name"), STREAMS)
def test_half_a_stream_is_never_a_success(version, name):
    case = CASES[version][name]
    attempt, whole, judge = attempt_of(name, case), body_of(case).rstrip(), dialect(case).outcome
    cuts = range(0, len(whole), max(1, len(whole) // 400))

    assert not any(isinstance(judge(attempt, HttpReply(status=200, body=whole[:cut])), Success) for cut in cuts)


@pytest.mark.parametrize("version", VERSIONS)
def test_counts_and_times_are_read_and_a_single_token_has_no_decode_time_on_24(version):
    outcome = judged(version, "chat-num-predict-1")

    assert outcome.usage.prompt_tokens == 16
    assert outcome.usage.output_tokens == 1
    assert outcome.timing.decode_s == (None if is_old(version) else 1e-6)
    assert 0.0 < outcome.timing.prefill_s < outcome.timing.total_s < 1.0
    assert outcome.timing.queue_s >= 0.0


@pytest.mark.parametrize("version", VERSIONS)
def test_an_openai_stream_has_usage_where_it_was_asked_for(version):
    assert judged(version, "v1-chat-stream-usage").usage == judged(version, "v1-chat-length").usage
    assert judged(version, "v1-chat-stream-length").usage.prompt_tokens is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["chat-logprobs", "chat-logprobs-stream", "v1-chat-logprobs"])
def test_log_probabilities_come_as_one_list(version, name):
    listed = msgspec.json.decode(judged(version, name).logprobs)

    assert [entry["token"] for entry in listed] == ["L", "lam"]


def test_a_refusal_says_how_long_the_prompt_was_where_the_server_does():
    for version in VERSIONS:
        told = judged(version, "chat-toolong-truncate-false").n_prompt_tokens
        assert told == (None if is_old(version) else 829)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("chat-context-full", True),
        ("chat-context-full-truncate-false", True),
        ("chat-context-full-shift-false", False),
        ("chat-stop", False),
    ],
)
def test_an_answer_that_outgrew_its_context_is_no_success(version, name, lost):
    case = CASES[version][name]
    attempt = msgspec.structs.replace(attempt_of(name, case), context_tokens=256)
    verdict = judge_success(Open(attempt.request), attempt, dialect(case).outcome(attempt, reply_of(case)))

    assert (verdict.end is None) is lost
    assert isinstance(verdict.end, Success) is not lost


@pytest.mark.parametrize("version", VERSIONS)
def test_listings_tell_version_models_and_contexts(version):
    (installed,) = (model for model in judged(version, "tags").models if model.name == "smollm2:135m")
    (shown,) = judged(version, "show").models
    (loaded,) = judged(version, "ps-loaded").models

    assert judged(version, "version").version == version.removeprefix("v")
    assert installed.digest == loaded.digest
    assert installed.digest.startswith("d6e9c36a")
    assert installed.context_tokens == (None if is_old(version) else 8192)
    assert (shown.context_tokens, shown.capabilities) == (8192, ("completion",))
    assert loaded.context_tokens == 512
    assert judged(version, "ps-empty").models == ()
    assert "smollm2:135m" in [model.name for model in judged(version, "v1-models").models]
    assert not any(model.remote for model in (installed, shown, loaded))


# Damaged replies: real ones cut, mixed and seeded with what breaks parsers.

BODIES = [body_of(CASES[version][name]) for version, name in EVERY]
NASTY = (
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"done":true,"message":{"content":"x"},"eval_count":' + b"9" * 5000 + b"}",
    b'{"done":true,"response":"x","total_duration":-1e308,"eval_count":1e999}',
    b'{"done":true,"response":"x","eval_count":NaN}',
    b'{"done":true,"response":"x","eval_count":[{}],"load_duration":"1s"}',
    b'{"done":"yes","response":7}',
    b'{"done":true,"response":"\\ud800"}',
    b'{"error":{"message":[[[1]]],"n_prompt_tokens":{"a":null}}}',
    b'{"error":"{\\"error\\":\\"{\\\\\\"error\\\\\\":1}\\"}"}',
    b'{"choices":[{"index":9,"message":null,"finish_reason":"stop"}]}',
    b'{"choices":[null]}',
    b'{"models":[{"name":1}]}',
    b'{"details":{},"model_info":{"general.architecture":[],"x.context_length":-1}}',
    b"\xff\xfe\x00",
    b"<html>",
    b"data: [DONE]\n\ndata: {}",
    b"event: x\n:\nerror: {",
    b"",
)
ATTEMPTS = [attempt_of(name, CASES[VERSIONS[-1]][name]) for name in EXPECTED]
bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(NASTY),
    st.sampled_from(BODIES),
    st.builds(
        lambda body, other, cut, inserted, again: (
            body[: cut % (len(body) + 1)] + inserted + other[again % (len(other) + 1) :]
        ),
        st.sampled_from(BODIES),
        st.sampled_from(BODIES),
        st.integers(0, 10_000),
        st.one_of(st.binary(max_size=8), st.sampled_from(NASTY[2:])),
        st.integers(0, 10_000),
    ),
)
statuses = st.one_of(
    st.just(200), st.sampled_from((0, 100, 204, 301, 400, 401, 403, 404, 405, 429, 499, 500, 501, 503))
)


@settings(max_examples=200, deadline=None)
@given(
    attempt=st.sampled_from(ATTEMPTS),
    body=bodies,
    status=statuses,
    retry_after=st.one_of(st.just(""), st.text(max_size=40), st.floats().map(str)),
    dialect_name=st.sampled_from(("ollama", "openai")),
)
def test_whatever_comes_is_an_outcome(attempt, body, status, retry_after, dialect_name):
    speaks = backend(dialect_name)
    speaks.began(body)
    outcome = speaks.outcome(attempt, HttpReply(status=status, body=body, retry_after=retry_after))

    assert isinstance(outcome, Success | Failure | Observation)
    msgspec.json.encode(outcome)  # the journal can hold it
    if isinstance(outcome, Failure):
        assert isinstance(outcome.kind, FailureKind)
        assert outcome.retry_after_s is None or 0.0 <= outcome.retry_after_s <= 300.0
    else:
        assert 200 <= status < 300
