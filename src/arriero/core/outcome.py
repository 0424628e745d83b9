"""How an attempt can end: Success, Failure, Observation, and the closed list of failure kinds."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec


class FailureKind(StrEnum):
    """The closed list of how an attempt or a request can fail (P14)."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    BAD_REPLY = "bad_reply"
    REJECTED = "rejected"
    TOO_LONG = "too_long"
    UNSUPPORTED = "unsupported"
    MODEL_MISSING = "model_missing"
    UNAUTHORIZED = "unauthorized"
    REDIRECTED = "redirected"
    INVALID_OUTPUT = "invalid_output"
    LOST = "lost"
    POISON = "poison"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


INSTANCE_FAULTS = frozenset(
    {FailureKind.UNREACHABLE, FailureKind.TIMEOUT, FailureKind.SERVER_ERROR, FailureKind.BAD_REPLY}
)
"""Kinds that count against the instance and send the request elsewhere."""

REQUEST_FAULTS = frozenset({FailureKind.REJECTED, FailureKind.TOO_LONG, FailureKind.UNSUPPORTED})
"""Kinds that end the request at once: another attempt would fail the same way."""

HARD_FAULTS = frozenset({FailureKind.UNAUTHORIZED, FailureKind.REDIRECTED})
"""Kinds that eject the instance at once, with a hint for its operator."""

FIRST_REFUSAL = 300
"""HTTP statuses from here on are no success (RFC 9110 section 15)."""

Subject: TypeAlias = Literal["", "version", "models", "details", "resident"]
"""What a ``discover`` attempt asks: server version, installed models, one model's details, resident models."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the server counted them; None where it did not say."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None


class Timing(msgspec.Struct, frozen=True, gc=False):
    """Durations of one attempt in seconds; None where unknown.

    Attributes:
        latency_s: Sending to last byte, seen by us.
        ttft_s: Sending to first token, seen by us; None unless streamed.
        load_s: Ollama ``load_duration``: scheduler and load.
        prefill_s: Ollama ``prompt_eval_duration``: the computed part of the prompt.
        decode_s: Ollama ``eval_duration``.
        total_s: Ollama ``total_duration``.

    Source:
        vLLM ``benchmarks/serve.py`` for ttft and latency; Ollama ``docs/api.md`` for the rest.
    """

    latency_s: float
    ttft_s: float | None = None
    load_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    total_s: float | None = None

    @property
    def queue_s(self) -> float | None:
        """Wait for a slot on the server: what Ollama's total has beyond load, prefill and decode."""
        if self.total_s is None:
            return None
        return max(0.0, self.total_s - (self.load_s or 0.0) - (self.prefill_s or 0.0) - (self.decode_s or 0.0))


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was judged whole.

    Attributes:
        text: The answer.
        finish_reason: ``stop`` or ``length`` (``load``, ``unload`` for those purposes).
        usage: Token counts.
        timing: Durations.
        model: The model the server named.
        thinking: What a thinking model thought; None if nothing.
        embeddings: Raw JSON list of vectors for ``/api/embed``; None otherwise.
        logprobs: Raw JSON as the server sent it; None otherwise.
    """

    text: str
    finish_reason: str
    usage: Usage
    timing: Timing
    model: str = ""
    thinking: str | None = None
    embeddings: msgspec.Raw | None = None
    logprobs: msgspec.Raw | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt, or in the end a request, failed: data, never an exception.

    Attributes:
        kind: One of the closed list.
        detail: The server's or the system's own words; foreign text, shown by ``errors`` only (P12), unless ``own``.
        own: ``detail`` is known to hold no word of the server's, so that it may be shown anywhere.
        status: HTTP status if there was one.
        retry_after_s: What the server asked us to wait, at most 300.
        crashed: The model process or the server went down under it.
        repeated: Ollama's abort after many identical tokens; at temperature 0 it would come again.
        began: The first token had arrived.
        latency_s: Seconds it took to fail.
        n_prompt_tokens: Prompt tokens the server counted in a ``too_long`` refusal; None if it did not say.
    """

    kind: FailureKind
    detail: str = ""
    own: bool = False
    status: int | None = None
    retry_after_s: float | None = None
    crashed: bool = False
    repeated: bool = False
    began: bool = False
    latency_s: float = 0.0
    n_prompt_tokens: int | None = None

    @property
    def reason(self) -> str:
        """Why, in no foreign word; ``""`` if nothing is known but the kind."""
        if self.own:
            return self.detail
        if self.status is None:
            return ""
        return f"answered {self.status}" if self.status >= FIRST_REFUSAL else f"an error inside a {self.status}"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model as a server lists it.

    Attributes:
        name: Its name there.
        digest: Content digest; ``""`` where the server gives none.
        capabilities: What it can (``completion``, ``vision``, ``thinking``, ``embedding`` …); empty: unknown.
        context_tokens: The context it was trained for (details) or holds now (resident); None if unknown.
        remote: It is served by a cloud behind the instance.
    """

    name: str
    digest: str = ""
    capabilities: tuple[str, ...] = ()
    context_tokens: int | None = None
    remote: bool = False


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a ``discover`` attempt.

    Attributes:
        subject: What was asked.
        version: Server version for ``version``.
        models: Installed for ``models``, the one for ``details``, loaded for ``resident``.
        latency_s: Seconds the exchange took; a round trip where nothing is computed.
    """

    subject: Subject
    version: str = ""
    models: tuple[Model, ...] = ()
    latency_s: float = 0.0


Outcome: TypeAlias = Success | Failure | Observation
