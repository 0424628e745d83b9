"""Answer: how one request ended, as Python sees it; a failure is a value."""

from __future__ import annotations

import msgspec

from arriero.core.outcome import Usage
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.prompt import Prompt
from arriero.outputs.record import FailureRecord, record_bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One request's end; its fields are those of the output file.

    Attributes:
        prompt: The prompt, the last user turn of a chat, or None for a bad row.
        response: The answer; None if it failed.
        error: ``kind: detail``; None if it succeeded. Foreign text: show it with care.
        status: ``success`` or ``failed``.
        id: The row's own id, else its number from 1.
        model: The model that the server named.
        instance: Where the deciding attempt ran; ``""`` if it was never sent.
        attempts: Attempts made.
        usage: Tokens as the server counted them.
        latency_s: Seconds the deciding attempt took.
        finish_reason: ``stop`` or ``length``; None if it failed.
        failure: What ``error`` says, in parts; None if it succeeded.
        thinking: What a thinking model thought.
        embeddings: Vectors of ``/api/embed``, shape [texts][dimensions].
    """

    prompt: str | None = None
    response: str | None = None
    error: str | None = None
    status: str = "success"
    id: str = ""
    model: str = ""
    instance: str = ""
    attempts: int = 0
    usage: Usage = Usage()
    latency_s: float = 0.0
    finish_reason: str | None = None
    failure: FailureRecord | None = None
    thinking: str | None = None
    embeddings: list[list[float]] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.status == "success"


_decode = msgspec.json.Decoder(Answer).decode


def answer_of(row: Row | BadRow, stored: StoredResult, prompt: Prompt) -> Answer:
    """The same fields as a line of the output, as a value."""
    return _decode(record_bytes(row, stored, prompt(row)))


def answer_of_line(line: bytes) -> Answer:
    """A line of ``results`` as a value."""
    return _decode(line)
