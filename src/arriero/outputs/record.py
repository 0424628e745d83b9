"""Record: one row of the output as the user's scripts read it, made of an input row and how it ended."""

from __future__ import annotations

import msgspec

from arriero.core.outcome import Failure, Success, Usage
from arriero.core.request import Message
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.monitor.words import failure_words

_NONE_COUNTED = Usage()


class FailureRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """``failure``: the kind of the closed list, the server's words, its HTTP status if there was one."""

    kind: str
    detail: str = ""
    status: int | None = None


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One row of ``.json`` and ``.jsonl``; the fields stand here in the order of their keys.

    Attributes:
        prompt: The prompt that was sent, the last user turn of a chat, or None for a bad line.
        response: The answer; only of a success.
        error: ``kind: detail``; only of a failure.
        status: ``success`` or ``failed``.
        id: The row's own id, else its line number.
        line: Line of the input; only of a bad line.
        model: The model that the server named.
        instance: Where the deciding attempt ran.
        attempts: Attempts made in this round.
        usage: Tokens as the server counted them.
        latency_s: Sending to last byte of the deciding attempt.
        finish_reason: ``stop`` or ``length``.
        failure: What ``error`` says, in parts.
        messages: The turns of a chat, shape [turns].
        thinking: What a thinking model thought.
        embeddings: Vectors of ``/api/embed``, shape [texts][dimensions].
        logprobs: As the server sent them.
        input: Fields of the row that pass through and whose names are taken above.
    """

    prompt: str | None
    response: str | None = None
    error: str | None = None
    status: str | None = None
    id: str | None = None
    line: int | None = None
    model: str | None = None
    instance: str | None = None
    attempts: int | None = None
    usage: Usage | None = None
    latency_s: float | None = None
    finish_reason: str | None = None
    failure: FailureRecord | None = None
    messages: tuple[Message, ...] = ()
    thinking: str | None = None
    embeddings: msgspec.Raw | None = None
    logprobs: msgspec.Raw | None = None
    input: dict[str, msgspec.Raw] | None = None


RESERVED = frozenset(Record.__struct_fields__)
"""Keys of the output; a row's own field of such a name is kept under ``input``."""

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def record_bytes(row: Row | BadRow, stored: StoredResult, prompt: str | None) -> bytes:
    """One record as compact JSON on one line, without a line end.

    Args:
        row: The input row.
        stored: How it ended.
        prompt: What was sent, as ``outputs.prompt`` tells it.

    Returns:
        UTF-8; non-ASCII characters stand as they are. The same row and end give the same bytes (P5).
    """
    record = Record(prompt=prompt, id=row.id, instance=stored.instance or None, attempts=stored.attempts)
    if isinstance(stored.outcome, Success):
        _fill_success(record, stored.outcome)
    else:
        _fill_failure(record, stored.outcome)
    record.model = record.model or stored.model or None
    if isinstance(row, BadRow):
        record.line = row.line
        return _encode(record)
    record.messages = row.messages
    extra = row.extra
    return _encode(record) if extra is None else _with_extra(record, extra)


def _fill_success(record: Record, success: Success) -> None:
    record.response = success.text
    record.status = "success"
    record.model = success.model
    record.usage = None if success.usage == _NONE_COUNTED else success.usage
    record.latency_s = round(success.timing.latency_s, 6)
    record.finish_reason = success.finish_reason
    record.thinking = success.thinking
    record.embeddings = success.embeddings
    record.logprobs = success.logprobs


def _fill_failure(record: Record, failure: Failure) -> None:
    record.error = failure_words(failure)
    record.status = "failed"
    record.latency_s = round(failure.latency_s, 6) if failure.latency_s else None
    record.failure = FailureRecord(kind=failure.kind.value, detail=failure.detail, status=failure.status)


def _with_extra(record: Record, extra: msgspec.Raw) -> bytes:
    """The record with the row's other fields behind its own; white space inside them is taken out."""
    bare = msgspec.Raw(msgspec.json.format(extra, indent=-1))
    fields = _members(bare)
    if RESERVED.isdisjoint(fields):
        return _encode(record)[:-1] + b"," + bytes(bare)[1:]
    record.input = {name: value for name, value in fields.items() if name in RESERVED}
    free = {name: value for name, value in fields.items() if name not in RESERVED}
    return _encode(record)[:-1] + b"," + _encode(free)[1:] if free else _encode(record)
