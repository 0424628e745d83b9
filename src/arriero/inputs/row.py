"""Row, BadRow: one line of an input as it was understood, or why it was not."""

from __future__ import annotations

import hashlib

import msgspec

from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import Message

KNOWN_FIELDS = frozenset(
    {
        "prompt",
        "messages",
        "id",
        "custom_id",
        "model",
        "system",
        "options",
        "format",
        "images",
        "max_tokens",
        "timeout_s",
        "priority",
    }
)
"""Fields of a jsonl row that mean something here; every other one passes through to the output."""

BATCH_LINE_FIELDS = frozenset({"custom_id", "method", "url", "body"})
"""Fields of an OpenAI Batch line; every other one passes through."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def row_hash(text: bytes) -> bytes:
    """The 16 bytes that bind a journal to a row: blake2b-128 of its bytes, without line end and BOM."""
    return hashlib.blake2b(text, digest_size=16).digest()


class BadLineError(Exception):
    """A line cannot be a row; caught by the reader and turned into a ``BadRow``.

    Attributes:
        reason: What is wrong, in words of ours; never the prompt (P12).
        field: The field to blame; ``""`` for the whole line.
        column: Column in the line, from 1, in characters; 0: that of the field.
        own_id: The row's own id if it was read before.
        hint: What helps if every row is like that; ``""``: mend the line.
    """

    def __init__(
        self, reason: str, *, field: str = "", column: int = 0, own_id: str | None = None, hint: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.column = column
        self.own_id = own_id
        self.hint = hint


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row that can be bound to a request.

    Attributes:
        position: Place among the rows, from 0, bad ones included.
        line: Line number in the file, from 1; for a Python sequence the index from 1.
        raw: The row's bytes: what is hashed. Text rows are stripped; a Python item is its JSON.
        own_id: The id the row brought; None: its line number serves.
        is_text: A line of text, not a JSON object.
        is_batch_line: An OpenAI Batch line.
        prompt: The prompt; None when there are messages, or when only a template can make one.
        messages: The turns of a chat, shape [turns].
        model: The row's own model.
        system: The row's own system prompt.
        options: The row's own options by their Ollama names.
        format: ``"json"`` or a JSON schema, as raw JSON.
        images: Base64 images beside the prompt, shape [images].
        max_tokens: As given: positive, or -1 and -2 for no bound.
        timeout_s: Seconds for one attempt.
        priority: Class inside the fleet.
        endpoint: The Ollama path the row asks for; ``""``: none.
        refusal: Why the row is well formed and cannot be served; None if it can.
    """

    position: int
    line: int
    raw: bytes
    own_id: str | None = None
    is_text: bool = False
    is_batch_line: bool = False
    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    model: str | None = None
    system: str | None = None
    options: dict[str, object] | None = None
    format: msgspec.Raw | None = None
    images: tuple[str, ...] = ()
    max_tokens: int | None = None
    timeout_s: float | None = None
    priority: int = 0
    endpoint: str = ""
    refusal: Failure | None = None

    @property
    def id(self) -> str:
        """The row's own id, else its line number as text."""
        return str(self.line) if self.own_id is None else self.own_id

    @property
    def hash(self) -> bytes:
        """``row_hash`` of the row's bytes."""
        return row_hash(self.raw)

    @property
    def fields(self) -> dict[str, msgspec.Raw]:
        """What a template may name: the members of the JSON object, or ``prompt`` and ``text`` for a text row."""
        if self.is_text:
            text = msgspec.Raw(msgspec.json.encode(self.prompt))
            return {"prompt": text, "text": text}
        found = _members.decode(self.raw)
        return found if isinstance(found, dict) else {}

    @property
    def extra(self) -> msgspec.Raw | None:
        """The fields that pass through to the output, a JSON object whose values are the bytes of the row."""
        if self.is_text:
            return None
        known = BATCH_LINE_FIELDS if self.is_batch_line else KNOWN_FIELDS
        kept = [
            msgspec.json.encode(name) + b":" + bytes(value) for name, value in self.fields.items() if name not in known
        ]
        return msgspec.Raw(b"{" + b",".join(kept) + b"}") if kept else None


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line that is no row.

    Attributes:
        position: Place among the rows, from 0; a bad row has one like any other.
        line: Line number in the file, from 1.
        column: Column in the line, from 1, in characters.
        reason: What is wrong, in words of ours.
        hash: ``row_hash`` of the line's bytes.
        own_id: The id the row brought, if that much could be read.
        size_bytes: Length of the line.
        hint: What helps if every row is like that.
    """

    position: int
    line: int
    column: int
    reason: str
    hash: bytes
    own_id: str | None = None
    size_bytes: int = 0
    hint: str = ""

    @property
    def id(self) -> str:
        """The row's own id, else its line number as text."""
        return str(self.line) if self.own_id is None else self.own_id

    @property
    def failure(self) -> Failure:
        """How it ends with ``--on-bad-line fail``."""
        return Failure(kind=FailureKind.REJECTED, detail=f"bad line {self.line}, column {self.column}: {self.reason}")
