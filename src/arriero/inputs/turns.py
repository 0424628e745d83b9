"""Messages and images of a row, as Ollama and as OpenAI write them, to one form."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import Message
from arriero.inputs.members import is_null, listed, members, short, typed
from arriero.inputs.row import BadLineError

_raws = msgspec.json.Decoder(list[msgspec.Raw])
_strings = msgspec.json.Decoder(list[str])
_string = msgspec.json.Decoder(str)

IGNORED = frozenset({"name", "refusal", "annotations", "audio", "tool_calls", "function_call"})
"""Message fields that say nothing to a model when they are null or empty; ``name`` never does in Ollama."""

ROLES = {
    "system": "system",
    "developer": "system",  # OpenAI's newer word for it
    "user": "user",
    "assistant": "assistant",
}


class RefusedError(Exception):
    """The row is well formed and cannot be served; carries the failure that ends it."""

    def __init__(self, reason: str, kind: FailureKind = FailureKind.UNSUPPORTED) -> None:
        super().__init__(reason)
        self.failure = Failure(kind=kind, detail=reason)


def turns(raw: msgspec.Raw) -> tuple[Message, ...]:
    """Read a ``messages`` array.

    Args:
        raw: The array; each content is a string, or a list of ``text`` and ``image_url`` parts with ``data:`` URIs.
            ``images`` (Ollama) is read too.

    Returns:
        The turns, shape [turns], at least one. Text parts of one turn are joined by a line end, as vLLM joins them.

    Raises:
        BadLineError: If the array is malformed or empty.
        RefusedError: If a turn holds what no instance is sent (tools, remote images, sound).
    """
    found = typed({"messages": raw}, "messages", _raws)
    if not found:
        raise BadLineError("messages is empty", field="messages")
    return tuple(_turn(one, number) for number, one in enumerate(found, 1))


def images(fields: Mapping[str, msgspec.Raw], name: str = "images") -> tuple[str, ...]:
    """Read an ``images`` array of base64 strings or ``data:`` URIs.

    Raises:
        BadLineError: If it is not an array of strings.
        RefusedError: If one is the address of an image elsewhere: only configured instances are contacted (P11).
    """
    return tuple(_base64(text) for text in typed(fields, name, _strings) or ())


def _turn(raw: msgspec.Raw, number: int) -> Message:
    where = f"message {number}"
    try:
        fields = members(raw, field="messages")
    except BadLineError as error:
        raise BadLineError(f"{where}: {error.reason}", field="messages") from error
    try:
        role = typed(fields, "role", _string)
        own_images = images(fields)
        text, part_images = _content(fields.get("content"))
    except BadLineError as error:
        raise BadLineError(f"{where}: {error.reason}", field="messages") from error
    if role is None:
        raise BadLineError(f"{where} has no role", field="messages")
    if role not in ROLES:
        raise RefusedError(f"{where} has the role {short(role)}; supported: {listed(ROLES)}")
    for name, value in fields.items():
        if name not in {"role", "content", "images"} and not _says_nothing(name, value):
            raise RefusedError(f"{where} has {short(name)}, which cannot be sent")
    return Message(role=ROLES[role], content=text, images=own_images + part_images)


def _says_nothing(name: str, value: msgspec.Raw) -> bool:
    return is_null(value) or name == "name" or (name in IGNORED and bytes(value) == b"[]")


def _content(raw: msgspec.Raw | None) -> tuple[str, tuple[str, ...]]:
    if raw is None or is_null(raw):
        raise BadLineError("content is missing", field="messages")
    if not bytes(raw).startswith(b"["):
        return typed({"content": raw}, "content", _string) or "", ()
    texts: list[str] = []
    pictures: list[str] = []
    for part in typed({"content": raw}, "content", _raws) or ():
        fields = members(part, field="messages")
        kind = typed(fields, "type", _string)
        if kind == "text":
            texts.append(typed(fields, "text", _string) or "")
        elif kind == "image_url":
            pictures.append(_image_part(fields.get("image_url")))
        else:
            raise RefusedError(f"a content part of type {short(kind or 'none')}; supported: text, image_url")
    return "\n".join(texts), tuple(pictures)


def _image_part(raw: msgspec.Raw | None) -> str:
    if raw is None:
        raise BadLineError("an image_url part without image_url", field="messages")
    if bytes(raw).startswith(b"{"):
        raw = members(raw, field="messages").get("url")
    url = typed({"url": raw}, "url", _string) if raw is not None else None
    if not url:
        raise BadLineError("an image_url part without url", field="messages")
    if not url.startswith("data:"):
        raise RefusedError("a remote image URL; put the image in as a data: URI", FailureKind.REJECTED)
    return _base64(url)


def _base64(text: str) -> str:
    if text.startswith(("http:", "https:", "file:")):
        raise RefusedError("a remote image URL; put the image in as base64", FailureKind.REJECTED)
    if not text.startswith("data:"):
        return text
    head, comma, data = text.partition(",")
    if not comma or not head.endswith(";base64"):
        raise RefusedError("an image data: URI that is not base64", FailureKind.REJECTED)
    return data
