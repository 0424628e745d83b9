"""OpenAI Batch lines: ``custom_id``, ``method``, ``url`` and ``body`` to what a row asks for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arriero.core.request import CHAT, EMBED, GENERATE
from arriero.inputs.body import IGNORED, OLLAMA_FIELDS, OPENAI_FIELDS, Wanted
from arriero.inputs.members import is_null, listed, members, short, typed
from arriero.inputs.row import BadLineError
from arriero.inputs.turns import RefusedError

ENDPOINTS = {
    "/chat/completions": CHAT,
    "/completions": GENERATE,
    "/embeddings": EMBED,
    "/api/chat": CHAT,
    "/api/generate": GENERATE,
    "/api/embed": EMBED,
}
"""Paths a line may name, without ``/v1``, to the Ollama path that serves them.

A path, never an address: a line of an input cannot choose where it is sent (P11).
"""

_string = msgspec.json.Decoder(str)


def batch_line(line: Mapping[str, msgspec.Raw]) -> Wanted:
    """Read a line with ``custom_id``, ``method``, ``url`` and ``body``.

    Returns:
        What the line asks for, by the names of ``Row``.

    Raises:
        BadLineError: If the line or its body is malformed.
        RefusedError: If the body asks for what cannot be sent; a field is never dropped silently unless it
            changes no answer (``IGNORED``).

    Source:
        OpenAI API reference, ``POST /v1/batches`` and ``POST /v1/chat/completions``; Ollama ``docs/api.md``.
    """
    if "method" in line and typed(line, "method", _string) != "POST":
        raise BadLineError("method must be POST", field="method")
    endpoint, is_ollama = _endpoint(line)
    body = {name: raw for name, raw in members(line["body"], field="body").items() if not is_null(raw)}
    wanted: Wanted = {"endpoint": endpoint, "options": {}}
    known = OLLAMA_FIELDS if is_ollama else OPENAI_FIELDS
    for name in body:
        if name in known:
            known[name](wanted, body)
        elif name not in IGNORED:
            raise RefusedError(f"body field {short(name)} cannot be sent")
    _check(wanted, endpoint)
    return wanted


def _endpoint(line: Mapping[str, msgspec.Raw]) -> tuple[str, bool]:
    url = typed(line, "url", _string) or ""
    path = url.removeprefix("/v1")
    if path not in ENDPOINTS or (path.startswith("/api/") and path != url):
        raise BadLineError(f"url {short(url)} is not served; supported: {listed(ENDPOINTS)}", field="url")
    return ENDPOINTS[path], path.startswith("/api/")


def _check(wanted: Wanted, endpoint: str) -> None:
    if not wanted["options"]:
        del wanted["options"]
    if endpoint == CHAT:
        if "messages" not in wanted:
            raise BadLineError("body has no messages", field="body")
        if "prompt" in wanted:
            raise BadLineError("body has messages and prompt", field="body")
        if "images" in wanted:
            raise BadLineError("images beside messages belong inside a message", field="images")
        return
    if "messages" in wanted:
        raise BadLineError("body has messages, which belong to a chat url", field="body")
    if not str(wanted.get("prompt", "")).strip():
        raise BadLineError("prompt is empty", field="body")
