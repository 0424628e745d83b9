"""OpenAI Batch lines: one line of the output or of the error file, made of an input row and how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from arriero.core.outcome import Failure, FailureKind, Success
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult, StoredSession
from arriero.monitor.words import FAILURES, failure_words

CODES = {
    FailureKind.EXPIRED: "batch_expired",
    FailureKind.CANCELLED: "batch_cancelled",
    FailureKind.TIMEOUT: "request_timeout",
}
"""``error.code`` of requests that got no HTTP answer; other kinds are their own code.

Source: OpenAI API reference, Batch, "The request output object".
"""

Clocks: TypeAlias = Mapping[str, float]
"""What ``session_clocks`` tells."""

UNKNOWN: Clocks = MappingProxyType({})
"""No session's clock is known."""

REFUSED = 400
"""HTTP statuses from here on are refusals; the line then carries the status and an error envelope."""

_encode = msgspec.json.Encoder().encode
_vectors = msgspec.json.Decoder(list[msgspec.Raw]).decode


def session_clocks(sessions: Iterable[StoredSession]) -> dict[str, float]:
    """Wall clock seconds, since 1970, at zero of each session's monotonic clock, by the session's name."""
    return {session.name: session.started_wall_s - session.started_at for session in sessions}


def batch_line(row: Row | BadRow, stored: StoredResult, clocks: Clocks) -> bytes:
    """One line without its end: a success for the output file, a failure for the error file.

    Args:
        row: The input row; its id is the ``custom_id``.
        stored: How it ended.
        clocks: As ``session_clocks`` makes them; ``created`` is 0 without.

    Returns:
        ``{"id", "custom_id", "response", "error"}``. Ids come from position and ``custom_id`` alone and ``created`` from
        the journal, so the same row and end give the same bytes (P5).
    """
    tag = hashlib.blake2b(f"{row.position}:{row.id}".encode(), digest_size=12).hexdigest()
    line: dict[str, object] = {"id": f"batch_req_{tag}", "custom_id": row.id, "response": None, "error": None}
    if isinstance(stored.outcome, Success):
        line["response"] = _response(tag, 200, _body(tag, stored.outcome, stored.model, _created(stored, clocks)))
    elif (stored.outcome.status or 0) >= REFUSED:
        line["response"] = _response(tag, stored.outcome.status or 0, {"error": _envelope(stored.outcome)})
    else:
        line["error"] = _error(stored.outcome)
    return _encode(line)


def _created(stored: StoredResult, clocks: Clocks) -> int:
    zero_s = clocks.get(stored.session)
    return 0 if zero_s is None else int(zero_s + stored.ended_at)


def _response(tag: str, status: int, body: dict[str, object]) -> dict[str, object]:
    return {"status_code": status, "request_id": f"req_{tag}", "body": body}


def _body(tag: str, success: Success, asked: str, created: int) -> dict[str, object]:
    model = success.model or asked
    if success.embeddings is not None:
        return _embeddings(success, model)
    message: dict[str, object] = {"role": "assistant", "content": success.text, "refusal": None}
    if success.thinking is not None:
        message["reasoning"] = success.thinking  # the key that Ollama's own /v1 and vLLM use
    body: dict[str, object] = {
        "id": f"chatcmpl-{tag}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": _logprobs(success), "finish_reason": success.finish_reason}
        ],
    }
    usage = success.usage
    if usage.prompt_tokens is not None and usage.output_tokens is not None:
        body["usage"] = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.prompt_tokens + usage.output_tokens,
        }
    return body


def _logprobs(success: Success) -> object:
    """Ollama's own endpoints send the bare list that OpenAI keeps under ``content``."""
    raw = success.logprobs
    if raw is None or not bytes(raw).lstrip().startswith(b"["):
        return raw
    return {"content": raw, "refusal": None}


def _embeddings(success: Success, model: str) -> dict[str, object]:
    vectors = _vectors(success.embeddings or b"[]")
    body: dict[str, object] = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)],
        "model": model,
    }
    if success.usage.prompt_tokens is not None:
        body["usage"] = {"prompt_tokens": success.usage.prompt_tokens, "total_tokens": success.usage.prompt_tokens}
    return body


def _envelope(failure: Failure) -> dict[str, object]:
    return {
        "message": failure.detail or FAILURES[failure.kind],
        "type": failure.kind.value,
        "param": None,
        "code": failure.kind.value,
    }


def _error(failure: Failure) -> dict[str, object]:
    return {"code": CODES.get(failure.kind, failure.kind.value), "message": failure_words(failure)}
