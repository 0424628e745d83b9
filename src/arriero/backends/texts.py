"""Texts: what a server's error text means, by a table read off real servers."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from arriero.backends.frames import decode
from arriero.core.outcome import FailureKind

SHOWN_CHARS = 1000
"""Characters of a foreign text that are kept."""

SEARCHED_CHARS = 4000
"""Characters of a foreign text that are searched."""

PARSED_BYTES = 1 << 20
"""Error bodies above this are not parsed, only cut."""


class Words(msgspec.Struct, frozen=True):
    """A server's error text.

    Attributes:
        shown: What a person reads; foreign, at most ``SHOWN_CHARS``.
        searched: All that can tell its meaning (type and code too), at most ``SEARCHED_CHARS``.
        is_json: It came as a JSON object: the server itself speaks, not something in front of it.
    """

    shown: str
    searched: str
    is_json: bool


class Meaning(msgspec.Struct, frozen=True):
    """What a text means.

    Attributes:
        pattern: Where it matches.
        kind: The failure's kind.
        crashed: The model process went down while it served this request or its neighbours.
        ours: The request is at fault: believed in a 4xx too.
    """

    pattern: re.Pattern[str]
    kind: FailureKind
    crashed: bool = False
    ours: bool = False


def _meaning(pattern: str, kind: FailureKind, *, crashed: bool = False, ours: bool = False) -> Meaning:
    return Meaning(re.compile(pattern, re.IGNORECASE), kind, crashed, ours)


MEANINGS = (
    # While it served: Ollama 0.24 and 0.33 on real servers; `connection refused` names the model process on 0.24.
    _meaning(
        r"error was encountered while running the model|process no longer running|runner has unexpectedly stopped"
        r"|dial tcp (?:127\.0\.0\.1|\[::1\]):\d+: connect: connection refused|GGML_ASSERT|SIGSEGV|SIGABRT"
        r"|do embedding request: Post|health resp: Get|^connection refused\s*$",
        FailureKind.SERVER_ERROR,
        crashed=True,
    ),
    # While it loaded: no request had reached the model, so none is suspected.
    _meaning(
        r"process has terminated|timed out waiting for .{0,80}to start|binary not found|more system memory"
        r"|out of memory|cudaMalloc|unable to (?:load|allocate)|(?:failed to|error) load(?:ing)? model",
        FailureKind.SERVER_ERROR,
    ),
    _meaning(
        r"server busy|maximum pending requests|too many requests|rate limit|overloaded|loading model"
        r"|temporarily unavailable",
        FailureKind.OVERLOADED,
    ),
    _meaning(
        r"exceeds? the (?:available |maximum |model'?s? )?context|exceed_context_size|prompt is (?:longer than|too long)"
        r"|maximum context length|context_length_exceeded|longer than the model's context|too long to fit into the model",
        FailureKind.TOO_LONG,
        ours=True,
    ),
    _meaning(
        r"\b(?:does|do) not support\b|\bnot (?:currently )?supported\b|\bunsupported\b|unexpected endpoint",
        FailureKind.UNSUPPORTED,
        ours=True,
    ),
    _meaning(
        r"\bmodel\b.{0,200}?(?:not found|not exist|not available)|no such model|model_not_found|try pulling it"
        r"|not a valid model",
        FailureKind.MODEL_MISSING,
        ours=True,
    ),
    _meaning(
        r"must be of type|invalid format|invalid json schema|schema conversion failed|no input provided"
        r"|invalid input type|cannot unmarshal|invalid model name|model is required|invalid_request_error",
        FailureKind.REJECTED,
        ours=True,
    ),
)
"""First match wins.

Source: Ollama v0.24.0 and v0.33.0 (recorded replies in ``tests/conformance/recordings``); llama-server b10434; vLLM
``entrypoints/openai``; OpenAI API reference, error codes.
"""

_PROMPT_TOKENS = re.compile(
    r"n_prompt_tokens\W{1,4}(\d{1,9})|request \((\d{1,9}) tokens\)|\((\d{1,9}) in the (?:messages|prompt)"
    r"|has (\d{1,9}) input tokens|resulted in (\d{1,9}) tokens|input \((\d{1,9}) tokens\)"
)


class _Envelope(msgspec.Struct):
    error: Any = None
    message: Any = None
    detail: Any = None
    type: Any = None
    code: Any = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def words(body: bytes) -> Words:
    """Read the error text out of a body: Ollama's, OpenAI's, FastAPI's shape, or plain text."""
    envelope = decode(_ENVELOPE, body) if len(body) <= PARSED_BYTES else None
    if envelope is None:
        text = body[:SEARCHED_CHARS].decode(errors="replace").strip()
        return Words(text[:SHOWN_CHARS], text, is_json=False)
    shown, searched = _read(envelope)
    return Words(shown[:SHOWN_CHARS], searched[:SEARCHED_CHARS], is_json=True)


def meaning(text: str, *, only_ours: bool = False) -> Meaning | None:
    """The first row of the table that matches a text.

    Args:
        text: ``Words.searched``.
        only_ours: Only rows where the request is at fault, for statuses that say so themselves.
    """
    for row in MEANINGS:
        if (row.ours or not only_ours) and row.pattern.search(text):
            return row
    return None


def prompt_tokens(text: str) -> int | None:
    """Prompt tokens a refusal names; None if it does not."""
    found = _PROMPT_TOKENS.search(text)
    return int(next(group for group in found.groups() if group)) if found else None


def _read(envelope: _Envelope) -> tuple[str, str]:
    """Text to show and text to search."""
    error = envelope.error if envelope.error is not None else envelope.message
    if error is None:
        error = envelope.detail
    if isinstance(error, dict):
        message = error.get("message")
        shown = message if isinstance(message, str) else _text(error)
        named = (f"{key}: {_text(error[key])}" for key in ("type", "code", "n_prompt_tokens") if key in error)
        return shown, " ".join((shown, *named))
    shown = searched = _text(error)
    if shown.startswith("{"):  # Ollama 0.33 passes on llama-server's JSON as a text
        inner = decode(_ENVELOPE, shown[:PARSED_BYTES].encode(errors="replace"))
        if inner is not None and inner.error is not None:
            shown = _read(inner)[0]
    return shown, f"{searched} {_text(envelope.type)} {_text(envelope.code)}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
