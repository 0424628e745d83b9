"""Ollama: attempts written as ``/api`` calls of an Ollama server or a gateway to some, and their replies judged."""

from __future__ import annotations

import re

from arriero.backends import listings, ollama_answers, turns
from arriero.backends.calls import content, get, post, unit
from arriero.backends.refusals import answered, refused
from arriero.backends.wire import HttpCall, HttpReply, UnsupportedError
from arriero.core.outcome import Failure, Outcome
from arriero.core.request import CHAT, EMBED, GENERATE, RUNNER_OPTIONS, Attempt, Content

_TOKEN = re.compile(
    rb'"(?:content|response|thinking)"\s*:\s*"[^"]'  # quotes inside a JSON text are escaped, so only keys match
    rb'|"tool_calls"\s*:\s*\[\s*[^\]\s]'
)
_TOKEN_TAIL = re.compile(rb'[^{\n]*[^":\s]"\s*(?:\}\s*)?,\s*"done"\s*:\s*false')
"""The rest of a line whose beginning came in the piece before."""

_OWN = frozenset((*RUNNER_OPTIONS, "num_predict", "truncate", "think"))
"""Options that are said elsewhere: in the unit, in ``Attempt.max_tokens``, or always the same."""

_FIELDS = {
    CHAT: ("keep_alive", "shift", "logprobs", "top_logprobs"),
    GENERATE: ("keep_alive", "shift", "logprobs", "top_logprobs", "raw", "template", "suffix"),
    EMBED: ("keep_alive", "dimensions"),
}
"""What the user may put among the options though the API wants it beside them; never sent unasked."""

_QUESTIONS = {"version": "/api/version", "models": "/api/tags", "details": "/api/show", "resident": "/api/ps"}


class Ollama:
    """The dialect of Ollama's own API.

    Source:
        Ollama ``docs/api.md`` and ``api/types.go`` at v0.24.0 and v0.33.0, checked on real servers of both.
    """

    name = "ollama"

    def call(self, attempt: Attempt) -> HttpCall:
        """Write the attempt as a call.

        Raises:
            UnsupportedError: If its content cannot be said at the endpoint that serves it.
        """
        if attempt.purpose == "discover":
            return _question(attempt)
        said = content(attempt)
        path = _path(attempt)
        if path not in _FIELDS:
            raise UnsupportedError(f"{path} is not an endpoint of the ollama dialect")
        if attempt.purpose in ("preload", "unload"):
            return post(attempt, *_load(attempt, path), stream=False)
        if path != EMBED and said.endpoint == EMBED:
            raise UnsupportedError(f"{path} makes no embeddings")
        body = _payload(said, path)
        body["model"] = unit(attempt).model
        body["options"] = _options(attempt, said, path)
        body["truncate"] = False
        if path != EMBED:
            body["stream"] = attempt.stream
            body["think"] = False if said.think is None else said.think
            if said.format is not None:
                body["format"] = said.format
        for field in _FIELDS[path]:
            if field in said.options:
                body[field] = said.options[field]
        return post(attempt, path, body, stream=attempt.stream and path != EMBED)

    def began(self, chunk: bytes) -> bool:
        """Whether this piece of a stream holds text, thoughts or a tool call; an empty last line does not."""
        if _TOKEN.search(chunk) is not None:
            return True
        return not chunk.startswith(b"{") and _TOKEN_TAIL.match(chunk) is not None

    def outcome(self, attempt: Attempt, reply: HttpReply) -> Outcome:
        """Judge a reply; see ``ollama_answers``, ``listings`` and ``refusals``."""
        if attempt.purpose == "discover":
            return _observed(attempt, reply)
        path = _path(attempt)
        if not answered(reply):
            return refused(reply, path)
        lines = ollama_answers.read(attempt, reply)
        if isinstance(lines, Failure):
            return lines
        if path == EMBED and attempt.purpose == "preload":
            return ollama_answers.loaded(attempt, reply, lines[-1])
        if path == EMBED:
            return ollama_answers.embedded(reply, lines)
        return ollama_answers.generated(attempt, reply, lines)


def _path(attempt: Attempt) -> str:
    path = attempt.endpoint or content(attempt).endpoint
    # Only a generation endpoint unloads at once; an embedding with ``keep_alive: 0`` first runs.
    return GENERATE if attempt.purpose == "unload" and path == EMBED else path


def _question(attempt: Attempt) -> HttpCall:
    """A ``discover`` attempt as a call."""
    path = _QUESTIONS.get(attempt.subject)
    if path is None:
        raise UnsupportedError("nothing is asked")
    if attempt.subject == "details":
        return post(attempt, path, {"model": unit(attempt).model}, stream=False)
    return get(attempt, path)


def _observed(attempt: Attempt, reply: HttpReply) -> Outcome:
    """Judge the reply to a ``discover`` attempt."""
    if not answered(reply):
        return refused(reply, _QUESTIONS.get(attempt.subject, ""))
    if attempt.subject == "details":
        return listings.details(attempt, reply)
    read = {"version": listings.version, "models": listings.models}.get(attempt.subject, listings.resident)
    return read(reply)


def _load(attempt: Attempt, path: str) -> tuple[str, dict[str, object]]:
    """A call without a prompt: the server loads the unit, or with ``keep_alive: 0`` unloads it."""
    empty = {CHAT: ("messages", []), GENERATE: ("prompt", ""), EMBED: ("input", [])}[path]
    wanted = unit(attempt)
    body: dict[str, object] = {
        "model": wanted.model,
        empty[0]: empty[1],
        "options": dict(sorted(wanted.options)),
        "stream": False,
    }
    if attempt.purpose == "unload":
        body["keep_alive"] = 0
    return path, body


def _payload(said: Content, path: str) -> dict[str, object]:
    """What the model reads, in the words of an endpoint."""
    if path == CHAT:
        return {"messages": turns.chat(said)}
    if path == EMBED:
        return {"input": turns.text(said)}
    only = turns.single(said)
    body: dict[str, object] = {"prompt": only.prompt}
    if only.system is not None:
        body["system"] = only.system
    if only.images:
        body["images"] = only.images
    return body


def _options(attempt: Attempt, said: Content, path: str) -> dict[str, object]:
    """Runner options first, byte-identical for a unit, then the request's own."""
    options: dict[str, object] = dict(sorted(unit(attempt).options))
    if path != EMBED:
        options["num_predict"] = attempt.max_tokens
    beside = _FIELDS[path]
    options.update((name, value) for name, value in said.options.items() if name not in _OWN and name not in beside)
    return options
