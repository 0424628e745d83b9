"""Turns: a request's Content read as a chat, as one prompt, or as one text to embed."""

from __future__ import annotations

from arriero.backends.wire import UnsupportedError
from arriero.core.request import Content, Message

_KINDS = (("/9j/", "jpeg"), ("iVBOR", "png"), ("R0lGOD", "gif"), ("UklGR", "webp"))
"""How base64 of an image file begins: its first bytes are fixed by its format."""


def chat(content: Content) -> tuple[Message, ...]:
    """All turns in order, the system prompt first."""
    turns = content.messages or (Message("user", content.prompt, content.images),)
    if content.system is None:
        return turns
    return (Message("system", content.system), *turns)


def single(content: Content) -> Content:
    """The same content without ``messages``: one prompt, perhaps a system prompt.

    Raises:
        UnsupportedError: If there are more turns than one of a user and one of the system before it.
    """
    turns = content.messages
    if not turns:
        return content
    system = content.system
    if len(turns) > 1 and turns[0].role == "system" and system is None and not turns[0].images:
        system, turns = turns[0].content, turns[1:]
    if len(turns) > 1 or turns[0].role != "user":
        raise UnsupportedError("several messages cannot be written as one prompt")
    return Content(
        prompt=turns[0].content,
        system=system,
        images=turns[0].images,
        format=content.format,
        options=content.options,
        think=content.think,
        endpoint=content.endpoint,
    )


def text(content: Content) -> str:
    """The one text to embed.

    Raises:
        UnsupportedError: If there is more than one text, or something that has no embedding.
    """
    only = single(content)
    if only.system is not None or only.images:
        raise UnsupportedError("only a text can be embedded: no system prompt, no images")
    return only.prompt


def data_uri(image: str) -> str:
    """A base64 image as a ``data:`` URI; its format is read from its first bytes, PNG if they say nothing."""
    if image.startswith("data:"):
        return image
    kind = next((kind for start, kind in _KINDS if image.startswith(start)), "png")
    return f"data:image/{kind};base64,{image}"
