"""The nouns of one request: Unit, Content, Request, Attempt, Result, and the state table."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from arriero.core.instance import BackendName
from arriero.core.outcome import (  # noqa: F401
    HARD_FAULTS,
    INSTANCE_FAULTS,
    REQUEST_FAULTS,
    Failure,
    FailureKind,
    Model,
    Observation,
    Outcome,
    Subject,
    Success,
    Timing,
    Usage,
)

BatchId: TypeAlias = int
AttemptId: TypeAlias = int
Scalar: TypeAlias = str | int | float | bool

CHAT = "/api/chat"
"""Where a request goes that names no path."""

GENERATE = "/api/generate"
EMBED = "/api/embed"

RUNNER_OPTIONS = ("draft_num_predict", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "use_mmap")
"""Ollama options that decide how a model is loaded; another value means a reload.

Source: Ollama v0.24.0 and v0.33.0: a request with another value of one of these reloaded the model.
"""


class State(StrEnum):
    """Where a request stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.WAITING: (State.RUNNING, State.FINISHED),  # scheduled; or ended unsent (cancelled, model missing)
    State.RUNNING: (State.WAITING, State.FINISHED),  # may be tried again; or ended
    State.FINISHED: (State.WAITING,),  # a new round (retry)
}


class Unit(msgspec.Struct, frozen=True, order=True):
    """What an instance must hold resident to serve a request.

    Attributes:
        model: The model's name as the servers know it; ``""`` only before models are resolved.
        options: Runner options (``RUNNER_OPTIONS``), sorted by name, so that equal units are byte-identical
            on the wire.
    """

    model: str
    options: tuple[tuple[str, Scalar], ...] = ()


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a chat; ``images`` are base64 strings, as Ollama wants them."""

    role: str
    content: str = ""
    images: tuple[str, ...] = ()


class Content(msgspec.Struct, frozen=True):
    """What to send, free of any dialect; the core looks at nothing inside but ``endpoint``.

    Attributes:
        prompt: The user's prompt; for a chat without ``messages`` the only user turn.
        messages: The turns of a chat, shape [turns]; empty when ``prompt`` is meant.
        system: A system prompt that goes first; None for none.
        images: Base64 images that belong to ``prompt``.
        format: ``"json"`` or a JSON schema as raw JSON; None for free text.
        options: Sampling options by their Ollama names (``temperature``, ``seed``, ``stop`` …), as given;
            runner options are in the unit, ``num_predict`` is ``Request.max_tokens``.
        think: Whether a thinking model may think first; None means the backend's default (off).
        endpoint: The Ollama path wanted: ``/api/chat``, ``/api/generate`` or ``/api/embed``.
    """

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    system: str | None = None
    images: tuple[str, ...] = ()
    format: msgspec.Raw | None = None
    options: dict[str, object] = {}
    think: bool | str | None = None
    endpoint: str = CHAT


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of work: one input row, bound to the unit that will serve it.

    Attributes:
        batch: The batch it belongs to.
        position: Row in the input, from 0, bad lines included; with ``batch`` the key everywhere.
        line: Line number in the input file, from 1, for messages.
        id: The row's own id, else its line number as text.
        content: What to send.
        unit: What an instance must hold to serve it.
        row_hash: blake2b-128 of the row's bytes (16 bytes); what a resume compares.
        size_chars: Characters of everything the model reads.
        size_bytes: Bytes it holds in the window.
        max_tokens: Output tokens at most as the row or the user said; None: what the context leaves.
        timeout_s: Total time of one attempt as the row said; None: the policy decides.
        priority: Class inside the fleet: a higher one goes strictly first.
        family: Rows that look alike (same first words) share one; for predicting lengths.
        round: 0 for the first pass, then one more for each ``retry``.
        attempts_used: Attempts already charged in this round before a resume.
        needs_vision: It holds images, so its model must be able to see.
    """

    batch: BatchId
    position: int
    line: int
    id: str
    content: Content
    unit: Unit
    row_hash: bytes = b""
    size_chars: int = 0
    size_bytes: int = 0
    max_tokens: int | None = None
    timeout_s: float | None = None
    priority: int = 0
    family: str = ""
    round: int = 0
    attempts_used: int = 0
    needs_vision: bool = False


class Timeouts(msgspec.Struct, frozen=True):
    """How long an attempt may take, each in seconds from its own start; ``inf`` for no bound.

    Attributes:
        first_byte_s: From sending to the first byte of the answer (queue, load and prefill are inside:
            Ollama sends no header before the first token).
        idle_s: Silence inside a stream.
        total_s: From sending to the last byte.
    """

    first_byte_s: float
    idle_s: float
    total_s: float


Purpose: TypeAlias = Literal["request", "preload", "unload", "probe", "discover"]
"""Why an instance is used; every use takes a slot and obeys the limit, only ``request`` makes a result."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One sending of one request (or one other use) to one instance.

    Attributes:
        id: Unique in this process; with the session's name it travels in a header (P15).
        instance: Name of the instance.
        purpose: Why.
        subject: What a ``discover`` asks; ``""`` otherwise.
        unit: What must be or become resident; None only for ``discover``.
        request: The request of a ``request`` attempt; None otherwise.
        number: 1 for the request's first attempt in its round.
        max_tokens: Output tokens at most; always positive for a generation.
        timeouts: When the engine gives up.
        context_tokens: The context of the unit there if known; a longer exchange has lost its beginning.
        endpoint: The path to use there; ``""``: the content's own.
        stream: Whether the answer is streamed.
        hedge: Whether it runs beside another attempt of the same request.
        backend: The dialect this attempt speaks, ``ollama`` or ``openai``; ``auto`` only in tests that do not send.
    """

    id: AttemptId
    instance: str
    purpose: Purpose = "request"
    subject: Subject = ""
    unit: Unit | None = None
    request: Request | None = None
    number: int = 1
    max_tokens: int = 1
    timeouts: Timeouts
    context_tokens: int | None = None
    endpoint: str = ""
    stream: bool = True
    hedge: bool = False
    backend: BackendName = "auto"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended; exactly one per request and round (P1).

    Attributes:
        request: The request that ended.
        outcome: Success, or the failure that ended it.
        instance: Where the deciding attempt ran; ``""`` if it was never sent.
        attempt: Id of the deciding attempt; 0 if none.
        attempts: Attempts made in this round.
        ended_at: Monotonic seconds.
    """

    request: Request
    outcome: Success | Failure
    instance: str = ""
    attempt: AttemptId = 0
    attempts: int = 0
    ended_at: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the request has an answer."""
        return isinstance(self.outcome, Success)
