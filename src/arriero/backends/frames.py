"""Frames: the JSON objects of a body, however the server cut them: one object, JSON lines or server-sent events."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

_FIELDS = (b"event:", b"id:", b"retry:", b":")
_NEXT = b"\n\ndata:"
_DONE = b"[DONE]"
_MARK = b"\xef\xbb\xbf"
"""A byte order mark: one may stand before events, none before JSON."""


class Frames(msgspec.Struct, frozen=True, gc=False):
    """What a body holds.

    Attributes:
        objects: JSON objects one after another, separated by nothing or by white space.
        events: They came as server-sent events.
        ended: The events ended with ``[DONE]``.
        trouble: Why there is nothing to read, in our own words; ``""`` if there is.

    Source:
        Ollama ``docs/api.md`` (JSON lines); OpenAI API reference, streaming (events); WHATWG HTML, section 9.2 (fields).
    """

    objects: bytes
    events: bool = False
    ended: bool = False
    trouble: str = ""


def frames(body: bytes) -> Frames:
    """Cut a body into JSON objects by what it is, not by what was asked for.

    Args:
        body: The whole body. It is only cut here; whether the pieces are JSON shows when they are decoded.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return Frames(b"", trouble="the body is not UTF-8")
    if body.startswith(b"{"):
        return Frames(body)
    body = body.strip()
    if not body:
        return Frames(b"", trouble="the body is empty")
    if body.startswith(b"<"):
        return Frames(b"", trouble="an HTML page instead of JSON")
    events = body.removeprefix(_MARK)
    if events.startswith((b"data:", b"error:", *_FIELDS)):
        return _events(events)
    return Frames(body)


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    """Decode one JSON value of foreign origin.

    Returns:
        The value, or None if it is malformed, of another type, nested too deeply or followed by anything.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return None


def decode_all(decoder: msgspec.json.Decoder[T], data: bytes) -> list[T] | None:
    """Decode JSON values that stand one after another; None as in ``decode``."""
    try:
        return decoder.decode_lines(data)
    except (ValueError, RecursionError):
        return None


def _events(body: bytes) -> Frames:
    """Cut events; nearly all streams have nothing but one ``data`` line each, which one replacement turns into JSON lines."""
    only_data = body.startswith(b"data:") and body.count(b"\n") == 2 * body.count(_NEXT) and b"\r" not in body
    if not only_data:
        return _lines(body)
    cut = body[len(b"data:") :].replace(_NEXT, b"\n")
    objects = cut.removesuffix(_DONE)
    if len(objects) < len(cut) and objects.strip() and not objects[-2:].rstrip(b" ").endswith(b"\n"):
        return _lines(body)  # [DONE] behind an object on one line ends nothing
    return Frames(objects, events=True, ended=len(objects) < len(cut))


def _lines(body: bytes) -> Frames:
    """Cut events line by line."""
    objects: list[bytes] = []
    ended = False
    for line in body.splitlines():
        if not line or line.startswith(_FIELDS):
            continue
        if ended:
            return Frames(b"", trouble="bytes after [DONE]")
        name, colon, value = line.partition(b":")
        value = value.strip()
        if not colon:  # such as `data`, torn from its value: the rest would pass for a comment
            return Frames(b"", trouble="neither JSON nor server-sent events")
        if name == b"data" and value == _DONE:
            ended = True
        elif name == b"data":
            objects.append(value)
        elif name == b"error":  # llama.cpp before 2025 names the field instead of the event
            objects.append(b'{"error":' + value + b"}")
        else:
            return Frames(b"", trouble="neither JSON nor server-sent events")
    return Frames(b"\n".join(objects), events=True, ended=ended)
