import json

import msgspec
import pytest

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult, StoredSession
from arriero.outputs.openai import UNKNOWN, batch_line, session_clocks

ROW = Row(position=4, line=5, raw=b"{}", own_id="r-1", prompt="q")
SUCCESS = Success(
    text="yes",
    finish_reason="length",
    usage=Usage(prompt_tokens=3, output_tokens=4),
    timing=Timing(latency_s=1.0),
    model="mistral:7b",
)
SESSION = StoredSession("0123456789ab", 1, 1, "h", "0", "c", b"{}", 1_700_000_000.0, 100.0, None)


def stored(outcome=SUCCESS):
    return StoredResult(
        batch=1,
        position=4,
        round=0,
        id="r-1",
        row_hash=b"",
        outcome=outcome,
        model="mistral",
        instance="gpu-01",
        attempts=1,
        attempt=1,
        session=SESSION.name,
        ended_at=107.9,
    )


def told(outcome=SUCCESS, row=ROW, clocks=UNKNOWN):
    return json.loads(batch_line(row, stored(outcome), clocks))


def test_a_success_is_a_chat_completion_inside_a_batch_line():
    line = told()
    body = line["response"]["body"]

    assert list(line) == ["id", "custom_id", "response", "error"]
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("r-1", None, 200)
    assert line["id"].startswith("batch_req_")
    assert line["response"]["request_id"].startswith("req_")
    assert (body["object"], body["model"], body["created"]) == ("chat.completion", "mistral:7b", 0)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "yes", "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_created_is_the_end_that_the_journal_tells():
    assert told(clocks=session_clocks([SESSION]))["response"]["body"]["created"] == 1_700_000_007


def test_the_same_row_and_end_give_the_same_bytes_and_another_row_another_id():
    other = Row(position=5, line=6, raw=b"{}", own_id="r-1", prompt="q")

    assert batch_line(ROW, stored(), UNKNOWN) == batch_line(ROW, stored(), UNKNOWN)
    assert told()["id"] != told(row=other)["id"]


def test_usage_is_left_out_unless_the_server_counted_both():
    assert "usage" not in told(msgspec.structs.replace(SUCCESS, usage=Usage(output_tokens=4)))["response"]["body"]


def test_what_a_server_refused_has_its_status_and_an_error_envelope():
    line = told(Failure(kind=FailureKind.TOO_LONG, detail="exceeds the context", status=400))

    assert line["error"] is None
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"] == {
        "error": {"message": "exceeds the context", "type": "too_long", "param": None, "code": "too_long"}
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FailureKind.EXPIRED, "batch_expired"),
        (FailureKind.CANCELLED, "batch_cancelled"),
        (FailureKind.TIMEOUT, "request_timeout"),
        (FailureKind.UNREACHABLE, "unreachable"),
    ],
)
def test_what_got_no_http_answer_has_an_error_and_no_response(kind, code):
    line = told(Failure(kind=kind))

    assert line["response"] is None
    assert line["error"]["code"] == code
    assert line["error"]["message"].startswith(kind.value)


def test_an_error_inside_a_200_is_no_response_of_status_200():
    line = told(Failure(kind=FailureKind.BAD_REPLY, detail="no done", status=200))

    assert line["response"] is None
    assert line["error"] == {"code": "bad_reply", "message": "bad_reply: no done"}


def test_a_bad_line_is_found_by_its_line_number():
    bad = BadRow(position=4, line=5, column=1, reason="no JSON", hash=b"")

    assert told(bad.failure, row=bad)["custom_id"] == "5"


def test_embeddings_are_a_list_of_vectors():
    vectors = msgspec.structs.replace(SUCCESS, text="", embeddings=msgspec.Raw(b"[[0.5,1],[2,3]]"))
    body = told(vectors)["response"]["body"]

    assert body["object"] == "list"
    assert [(entry["index"], entry["embedding"]) for entry in body["data"]] == [(0, [0.5, 1]), (1, [2, 3])]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b'[{"token":"a"}]', {"content": [{"token": "a"}], "refusal": None}),
        (b'{"content":[{"token":"a"}]}', {"content": [{"token": "a"}]}),
    ],
)
def test_logprobs_of_both_dialects_end_under_content(raw, shown):
    rich = msgspec.structs.replace(SUCCESS, logprobs=msgspec.Raw(raw), thinking="hm")
    choice = told(rich)["response"]["body"]["choices"][0]

    assert choice["logprobs"] == shown
    assert choice["message"]["reasoning"] == "hm"
