"""JSON rows: ``{"prompt"}``, ``{"messages"}``, or an OpenAI Batch line, one object a line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from arriero.core.outcome import Failure
from arriero.inputs.batch_line import batch_line
from arriero.inputs.body import answer_format, most_tokens, option_members
from arriero.inputs.lines import Line
from arriero.inputs.members import is_null, listed, members, nested_too_deep, typed
from arriero.inputs.row import KNOWN_FIELDS, BadLineError, BadRow, Row
from arriero.inputs.turns import RefusedError, images, turns
from arriero.inputs.txt import HAS_NUL, NOT_UTF8, bad_row, column_of

ID_CHARS_MAX = 64 * 1024

_string = msgspec.json.Decoder(str)
_integer = msgspec.json.Decoder(int)
_number = msgspec.json.Decoder(float)
_INTEGER = re.compile(rb"-?\d{1,100}")


class _Ids(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"null")
    custom_id: msgspec.Raw = msgspec.Raw(b"null")


_ids = msgspec.json.Decoder(_Ids)


def parse_json(position: int, line: Line, *, templated: bool = False) -> Row | BadRow:
    """Make a row of a line of JSON.

    Args:
        position: Place among the rows.
        line: The line.
        templated: A template makes the prompt, so that a row needs none of its own and the word ``body`` is a field
            like any other.

    Returns:
        A row, or a bad row with column and reason. Never raises for what a line holds.
    """
    text = line.text
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return bad_row(position, line, column_of(text, error.start), NOT_UTF8)
    if b"\0" in text:
        return bad_row(position, line, column_of(text, text.index(0)), HAS_NUL)
    if nested_too_deep(text):
        return bad_row(position, line, 1, "JSON nested too deep")
    try:
        return _row(position, line, templated=templated)
    except BadLineError as error:
        return bad_row(
            position, line, error.column or _column_of_field(text, error.field), error.reason, error.own_id, error.hint
        )


def own_id_of(text: bytes) -> str | None:
    """The id a line of JSON brings, without reading the rest; None if it brings none that may be one."""
    try:
        found = _ids.decode(text)
        own = found.id if is_null(found.custom_id) else found.custom_id
        if own is found.id and _INTEGER.fullmatch(own):
            return bytes(own).decode()
        return _string.decode(own)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _row(position: int, line: Line, *, templated: bool) -> Row:
    fields = members(line.text)
    own_id = _own_id(fields)
    is_batch_line = "custom_id" in fields and "body" in fields and not templated
    try:
        wanted = batch_line(fields) if is_batch_line else _plain(fields, templated=templated)
        refusal: Failure | None = None
    except RefusedError as error:
        wanted, refusal = {}, error.failure
    except BadLineError as error:
        error.own_id = own_id
        raise
    return Row(
        position=position,
        line=line.number,
        raw=line.text,
        own_id=own_id,
        is_batch_line=is_batch_line,
        refusal=refusal,
        **wanted,
    )


def _own_id(fields: dict[str, msgspec.Raw]) -> str | None:
    """The row's id; an integer is its digits, null is as absent, but a ``custom_id`` must be a string."""
    name = "custom_id" if "custom_id" in fields else "id"
    if name not in fields:
        return None
    if name == "custom_id" and "id" in fields and bytes(fields["id"]) != bytes(fields[name]):
        raise BadLineError("id and custom_id differ; give one", field="id")
    if name == "id" and _INTEGER.fullmatch(fields[name]):
        return bytes(fields[name]).decode()
    try:
        own = typed(fields, name, _string)
    except BadLineError as error:
        raise BadLineError(f"{error.reason}; write it in quotes", field=name) from error
    if own is None and name == "id":
        return None
    if not own or len(own) > ID_CHARS_MAX:
        raise BadLineError(f"{name} must have 1 to {ID_CHARS_MAX} characters", field=name)
    return own


def _plain(fields: dict[str, msgspec.Raw], *, templated: bool) -> dict[str, Any]:
    """What a row that is no OpenAI Batch line asks for, by the names of ``Row``."""
    wanted: dict[str, Any] = {} if templated else _asked(fields)
    for name in fields:
        if name in _OPTIONAL:
            wanted[name] = _OPTIONAL[name](fields)
    if wanted.get("messages") and wanted.get("images"):
        raise BadLineError("images beside messages belong inside a message", field="images")
    return wanted


def _asked(fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """The prompt, or the turns."""
    prompt = typed(fields, "prompt", _string)
    raw = fields.get("messages")
    if raw is not None and not is_null(raw):
        if prompt is not None:
            raise BadLineError("prompt and messages; give one", field="messages")
        return {"messages": turns(raw)}
    if prompt is None:
        raise BadLineError(_nothing_asked(fields), hint=_template_hint(fields))
    if not prompt.strip():
        raise BadLineError("prompt is empty", field="prompt")
    return {"prompt": prompt}


def _nothing_asked(fields: dict[str, msgspec.Raw]) -> str:
    if "custom_id" in fields:
        return "custom_id without body; an OpenAI Batch line has custom_id, method, url and body"
    return f"no prompt, messages or body; the fields are: {listed(fields)}; --prompt makes a prompt of them"


def _template_hint(fields: dict[str, msgspec.Raw]) -> str:
    """The flag that makes prompts of such rows, with a text of theirs in it."""
    texts = [name for name, raw in fields.items() if name not in KNOWN_FIELDS and bytes(raw).startswith(b'"')]
    return f"make the prompt of fields: --prompt '{{{texts[0]}}}'" if texts and texts[0].isidentifier() else ""


def _timeout_s(fields: Mapping[str, msgspec.Raw]) -> float | None:
    seconds = typed(fields, "timeout_s", _number)
    if seconds is not None and not 0 < seconds < math.inf:
        raise BadLineError("timeout_s must be a positive number of seconds", field="timeout_s")
    return seconds


_OPTIONAL: dict[str, Callable[[Mapping[str, msgspec.Raw]], object]] = {
    "model": lambda fields: typed(fields, "model", _string) or None,
    "system": lambda fields: typed(fields, "system", _string),
    "options": option_members,
    "format": answer_format,
    "images": images,
    "max_tokens": lambda fields: most_tokens(fields, "max_tokens"),
    "timeout_s": _timeout_s,
    "priority": lambda fields: typed(fields, "priority", _integer) or 0,
}


def _column_of_field(text: bytes, field: str) -> int:
    at = text.find(msgspec.json.encode(field)) if field else 0
    return column_of(text, max(at, 0))
