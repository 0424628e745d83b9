"""Outcomes as JSON, and back."""

from __future__ import annotations

import msgspec

from arriero.core.outcome import Failure, Success, Timing, Usage

ENCODER = msgspec.json.Encoder()
FAILURE = msgspec.json.Decoder(Failure)


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``Success`` for decoding: msgspec cannot decode ``Raw | None``, so an absent value is the four bytes ``null``."""

    text: str
    finish_reason: str
    usage: Usage
    timing: Timing
    model: str
    thinking: str | None
    embeddings: msgspec.Raw
    logprobs: msgspec.Raw


ANSWER = msgspec.json.Decoder(_Answer)


def encode(outcome: Success | Failure) -> bytes:
    """JSON of an outcome.

    A lone surrogate has no UTF-8 form; backends refuse it in an answer, and here it becomes ``?`` rather than stop all.
    """
    try:
        return ENCODER.encode(outcome)
    except UnicodeEncodeError:
        texts = {
            name: getattr(outcome, name, None) for name in ("text", "thinking", "detail", "model", "finish_reason")
        }
        cleaned = {name: speakable(text) for name, text in texts.items() if text is not None}
        return ENCODER.encode(msgspec.structs.replace(outcome, **cleaned))


def speakable(text: str) -> str:
    """The text with ``?`` for what has no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()


def success(data: bytes) -> Success:
    """An answer.

    Raises:
        msgspec.DecodeError: If it is not what ``encode`` wrote.
    """
    answer = ANSWER.decode(data)
    return Success(
        text=answer.text,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        timing=answer.timing,
        model=answer.model,
        thinking=answer.thinking,
        embeddings=_present(answer.embeddings),
        logprobs=_present(answer.logprobs),
    )


def failure(data: bytes) -> Failure:
    """A failure.

    Raises:
        msgspec.DecodeError: If it is not what ``encode`` wrote.
    """
    return FAILURE.decode(data)


def either(data: bytes) -> Success | Failure:
    """Whichever it is, told by the required fields, which the two do not share.

    Raises:
        msgspec.DecodeError: If it is neither.
    """
    try:
        return success(data)
    except msgspec.ValidationError:
        return failure(data)


def _present(raw: msgspec.Raw) -> msgspec.Raw | None:
    view = memoryview(raw)
    return None if len(view) == len(b"null") and bytes(view) == b"null" else raw
