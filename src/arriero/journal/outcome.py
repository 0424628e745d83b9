"""Outcomes as JSON under a seal, and back."""

from __future__ import annotations

from typing import Any
from zlib import crc32

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


SEAL_BYTES = 9
"""A newline and 8 hex digits. JSON of an object ends with neither, so an outcome without a seal (schema 1) is told."""


def seal(key: tuple[Any, ...], data: bytes) -> bytes:
    """An outcome with a CRC-32 of itself and of what its row says beside it.

    SQLite finds damage in the structure of a file, not in a text; without this a changed letter would be an answer.
    It costs 9 bytes an outcome.
    """
    return b"%b\n%08x" % (data, crc32(data, crc32(ENCODER.encode(key))))


def unseal(key: tuple[Any, ...], sealed: Any) -> bytes:
    """The outcome as it was before ``seal``; one of schema 1 as it is.

    Args:
        key: As the file gives it now; damage may have made anything of it and of ``sealed``.
        sealed: What the file holds.

    Raises:
        ValueError: If either is not what was written.
    """
    if not isinstance(sealed, bytes):
        raise ValueError("an outcome is no bytes")  # noqa: TRY004 - damage, not a mistake of the caller
    data = sealed[:-SEAL_BYTES]
    if sealed[len(data) : len(data) + 1] != b"\n":
        return sealed
    if seal(key, data) != sealed:
        raise ValueError("an outcome is not what was written")
    return data


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
