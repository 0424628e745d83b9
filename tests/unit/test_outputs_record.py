import json

import msgspec
import pytest

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Message
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.record import RESERVED, record_bytes

SUCCESS = Success(
    text="Ünïcode\n“yes”",
    finish_reason="stop",
    usage=Usage(prompt_tokens=3, output_tokens=4),
    timing=Timing(latency_s=1.2345678),
    model="mistral:7b",
)


def stored(outcome=SUCCESS, position=0, **more):
    fields = {
        "batch": 1,
        "position": position,
        "round": 0,
        "id": "1",
        "row_hash": b"",
        "outcome": outcome,
        "model": "mistral",
        "instance": "gpu-01",
        "attempts": 2,
        "attempt": 9,
        "session": "0123456789ab",
        "ended_at": 5.0,
    }
    return StoredResult(**(fields | more))


def row(raw=b'{"prompt":"q"}', **more):
    return Row(**({"position": 0, "line": 1, "raw": raw, "prompt": "q"} | more))


def told(*arguments):
    return json.loads(record_bytes(*arguments))


def test_a_success_begins_with_the_keys_that_scripts_read_and_adds_the_rest():
    assert list(told(row(), stored(), "q").items()) == [
        ("prompt", "q"),
        ("response", "Ünïcode\n“yes”"),
        ("status", "success"),
        ("id", "1"),
        ("model", "mistral:7b"),
        ("instance", "gpu-01"),
        ("attempts", 2),
        ("usage", {"prompt_tokens": 3, "output_tokens": 4}),
        ("latency_s", 1.234568),
        ("finish_reason", "stop"),
    ]


def test_a_failure_begins_with_prompt_error_and_status():
    failure = Failure(kind=FailureKind.SERVER_ERROR, detail="out of memory", status=500, latency_s=0.5)

    assert list(told(row(), stored(failure), "q").items()) == [
        ("prompt", "q"),
        ("error", "server_error: out of memory"),
        ("status", "failed"),
        ("id", "1"),
        ("model", "mistral"),
        ("instance", "gpu-01"),
        ("attempts", 2),
        ("latency_s", 0.5),
        ("failure", {"kind": "server_error", "detail": "out of memory", "status": 500}),
    ]


def test_an_empty_answer_is_an_answer():
    empty = msgspec.structs.replace(SUCCESS, text="")

    assert told(row(), stored(empty), "q")["response"] == ""


def test_non_ascii_stands_as_it_is_and_line_ends_are_escaped():
    encoded = record_bytes(row(), stored(), "q")

    assert "Ünïcode\\n“yes”".encode() in encoded
    assert b"\n" not in encoded


def test_tokens_that_the_server_did_not_count_are_left_out_and_never_zero():
    uncounted = msgspec.structs.replace(SUCCESS, usage=Usage())
    half = msgspec.structs.replace(SUCCESS, usage=Usage(output_tokens=4))

    assert "usage" not in told(row(), stored(uncounted), "q")
    assert told(row(), stored(half), "q")["usage"] == {"prompt_tokens": None, "output_tokens": 4}


def test_a_chat_keeps_its_turns():
    messages = (Message("user", "first"), Message("assistant", "so"), Message("user", "last"))
    record = told(row(prompt=None, messages=messages), stored(), "last")

    assert record["prompt"] == "last"
    assert [turn["content"] for turn in record["messages"]] == ["first", "so", "last"]


def test_a_bad_line_has_no_prompt_and_names_its_line():
    bad = BadRow(position=6, line=7, column=3, reason="not valid UTF-8", hash=b"x" * 16)
    record = told(bad, stored(bad.failure, position=6, instance="", attempts=0), None)

    assert record["prompt"] is None
    assert (record["id"], record["line"], record["attempts"]) == ("7", 7, 0)
    assert record["error"] == "rejected: bad line 7, column 3: not valid UTF-8"
    assert "instance" not in record


def test_other_fields_of_the_row_pass_through_byte_for_byte():
    raw = b'{"prompt":"q","tag":"a\\u00e4","n":123456789012345678901234567890,\r "deep": {"x": [1, 2.50]}}'
    encoded = record_bytes(row(raw), stored(), "q")

    assert encoded.endswith(
        b'"finish_reason":"stop","tag":"a\\u00e4","n":123456789012345678901234567890,"deep":{"x":[1,2.50]}}'
    )


def test_a_field_whose_name_is_taken_is_kept_under_input():
    raw = b'{"prompt":"q","response":"old","input":5,"tag":1}'
    record = told(row(raw), stored(), "q")

    assert record["response"] == SUCCESS.text
    assert record["input"] == {"response": "old", "input": 5}
    assert record["tag"] == 1


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_field_of_a_row_can_change_a_key_of_ours(name):
    raw = msgspec.json.encode({"prompt": "q", name: "theirs"})
    with_field = record_bytes(row(raw), stored(), "q")
    pairs = json.loads(with_field, object_pairs_hook=list)
    names = [key for key, _ in pairs]

    assert len(names) == len(set(names))
    assert json.loads(with_field)["status"] == "success"


def test_what_else_a_model_sent_is_kept():
    rich = msgspec.structs.replace(
        SUCCESS, thinking="hm", embeddings=msgspec.Raw(b"[[0.1,0.2]]"), logprobs=msgspec.Raw(b'[{"token":"a"}]')
    )
    record = told(row(), stored(rich), "q")

    assert (record["thinking"], record["embeddings"], record["logprobs"]) == ("hm", [[0.1, 0.2]], [{"token": "a"}])
