"""Answers: what judging them has in common in both dialects: names, counts, endings, repetition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from arriero.backends.frames import decode

REPEATS = 30
"""Ollama ends an answer, without ``done``, after more than this many equal tokens (``docs/decisions/0009-policies.md``)."""

_UNIT_CHARS = 64
"""Longest token, in characters, that is looked for in a repetition."""

NS_PER_S = 1e9

MOST = 1 << 53
"""Largest number believed: whole numbers above it are not exact in JSON; as nanoseconds it is 104 days."""

_VECTORS = msgspec.json.Decoder(list[list[float]])
_REASONS = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}


def finish_reason(reason: str) -> str:
    """A server's word for the end as ``stop``, ``length`` or ``content_filter``; whatever else ended it is a stop."""
    return _REASONS.get(reason, "stop")


def count(value: object) -> int | None:
    """A count as a server gives it; None if it is absent, negative, absurd (above ``MOST``) or no number."""
    if type(value) is int and 0 <= value <= MOST:
        return value
    if type(value) is float and 0.0 <= value <= MOST:
        return int(value)
    return None


def seconds(value: object, per_s: float = NS_PER_S) -> float | None:
    """A duration in seconds; None if it is absent, negative, absurd (above ``MOST`` units) or no number.

    Args:
        value: A number in foreign JSON.
        per_s: Its units in a second; nanoseconds unless said.
    """
    if (type(value) is int or type(value) is float) and 0 <= value <= MOST:
        return value / per_s
    return None


def same_model(asked: str, named: str) -> bool:
    """Whether a reply names the model asked for, as Ollama spells names.

    ``:latest``, ``library/`` and the registry's host may be left out; letter case is free; a cloud model is named
    without its suffix. A reply that names none is accepted: gateways leave it out.
    """
    if not named or asked == named:
        return True
    short = _short(asked)
    return _short(named) in (short, short.removesuffix("-cloud").removesuffix(":cloud"))


def served_model(asked: str, named: str) -> bool:
    """Whether an OpenAI-compatible reply names the model asked for.

    Such servers name a dated snapshot of an alias (``m`` answered by ``m-2024-08-06``), or the file or vendor path.
    """
    if same_model(asked, named):
        return True
    short, other = _short(asked).rpartition("/")[2], _short(named).rpartition("/")[2]
    return short == other or other.startswith((f"{short}-", f"{short}@", f"{short}:"))


def repeats(pieces: Sequence[str]) -> bool:
    """Whether an answer ends in the same token over and over.

    Args:
        pieces: The answer as it came, shape [pieces]; a piece of a stream is a token.

    Source:
        Ollama ``llm``: tokens are compared without white space around them, more than 30 in a row end the answer.
    """
    if len(pieces) > REPEATS and len({piece.strip() for piece in pieces[-REPEATS:]}) == 1:
        return True
    tail = "".join(pieces)[-REPEATS * _UNIT_CHARS :]
    if len(tail) - len(tail.rstrip()) >= REPEATS:
        return True
    return any(tail.endswith(tail[-size:] * REPEATS) for size in range(1, len(tail) // REPEATS + 1))


def joined(arrays: Iterable[bytes]) -> msgspec.Raw | None:
    """One raw JSON array of the elements of several; None if there are none."""
    inner = [inside for array in arrays if array.startswith(b"[") and (inside := array[1:-1].strip())]
    return msgspec.Raw(b"[" + b",".join(inner) + b"]") if inner else None


def vectors_trouble(raw: bytes, expected: int) -> str:
    """What is wrong with a raw JSON list of embeddings, in our own words; ``""`` if nothing.

    Args:
        raw: JSON, shape [vectors][dimensions].
        expected: Texts that were sent.
    """
    vectors = decode(_VECTORS, raw)
    if vectors is None:
        return "the embeddings are no lists of numbers"
    if len(vectors) != expected:
        return f"{len(vectors)} embeddings for {expected} texts"
    if not all(vectors):
        return "an embedding is empty"
    return ""


def _short(name: str) -> str:
    short = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short.removesuffix(":latest")
