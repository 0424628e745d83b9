"""OpenAI: attempts written as ``/v1`` calls of llama-server, vLLM and their kind, and their replies judged."""

from __future__ import annotations

import re

import msgspec

from arriero.backends import listings, openai_answers, turns
from arriero.backends.calls import content, get, post, unit
from arriero.backends.refusals import answered, refused
from arriero.backends.wire import HttpCall, HttpReply, UnsupportedError
from arriero.core.outcome import Outcome
from arriero.core.request import RUNNER_OPTIONS, Attempt, Content, Message

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"
MODELS = "/v1/models"

_TOKEN = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text)"\s*:\s*"[^"]'  # quotes inside a JSON text are escaped
    rb'|"tool_calls"\s*:\s*\[\s*[^\]\s]'
)

_OLLAMA_ONLY = ("num_predict", "num_keep", "think", "truncate", "keep_alive", "shift", "raw", "template", "suffix")
_OWN = frozenset((*RUNNER_OPTIONS, *_OLLAMA_ONLY))
"""Options said elsewhere (``max_tokens``), or that mean something to Ollama only; the others pass as they are:
``top_k``, ``min_p`` and ``repeat_penalty`` are no OpenAI fields, yet llama-server and vLLM take them."""

_EMBED_ENDPOINTS = frozenset({"/api/embed", EMBED})
_JSON = b'"json"'


class OpenAI:
    """The dialect of the OpenAI API, as far as servers that imitate it agree on it.

    Source:
        OpenAI API reference; llama.cpp ``tools/server/README.md``; vLLM, OpenAI-compatible server.
    """

    name = "openai"

    def call(self, attempt: Attempt) -> HttpCall:
        """Write the attempt as a call; runner options have no place in this dialect, they belong to the server's start.

        Raises:
            UnsupportedError: If the dialect cannot say it: loading, unloading, a listing other than of the models,
                more than one text to embed.
        """
        if attempt.purpose == "discover" and attempt.subject == "models":
            return get(attempt, MODELS)
        if attempt.purpose not in ("request", "probe"):
            raise UnsupportedError(f"the openai dialect has no call to {attempt.purpose} {attempt.subject}".rstrip())
        said = content(attempt)
        if _embeds(attempt):
            return post(attempt, EMBED, _embedding(attempt, said), stream=False)
        # llama-server closes the connection after a streamed answer without saying so: of 120 requests on kept
        # connections 28 found theirs closed, of 120 with their own none.
        body = _completion(attempt, said)
        return post(attempt, CHAT, body, stream=attempt.stream, own_connection=attempt.stream)

    def began(self, chunk: bytes) -> bool:
        """Whether this piece of a stream holds text, thoughts or a tool call; a piece with only a role does not."""
        return _TOKEN.search(chunk) is not None

    def outcome(self, attempt: Attempt, reply: HttpReply) -> Outcome:
        """Judge a reply; see ``openai_answers``, ``listings`` and ``refusals``."""
        discovers = attempt.purpose == "discover"
        embeds = not discovers and _embeds(attempt)
        if not answered(reply):
            return refused(reply, MODELS if discovers else EMBED if embeds else CHAT)
        if discovers:
            return listings.served(reply)
        return openai_answers.judge(attempt, reply, embedding=embeds)


def _embeds(attempt: Attempt) -> bool:
    return (attempt.endpoint or content(attempt).endpoint) in _EMBED_ENDPOINTS


def _completion(attempt: Attempt, said: Content) -> dict[str, object]:
    """The body of a chat completion."""
    body = {name: value for name, value in said.options.items() if name not in _OWN}
    body["model"] = unit(attempt).model
    body["messages"] = [_turn(turn) for turn in turns.chat(said)]
    body["max_tokens"] = attempt.max_tokens
    body["stream"] = attempt.stream
    if attempt.stream:
        body["stream_options"] = {"include_usage": True}
    if said.format is not None:
        body["response_format"] = _format(said.format)
    if said.think is not None:
        body["chat_template_kwargs"] = {"enable_thinking": bool(said.think)}
        if isinstance(said.think, str):
            body["reasoning_effort"] = said.think
    return body


def _embedding(attempt: Attempt, said: Content) -> dict[str, object]:
    """The body of an embedding; only ``dimensions`` applies to it."""
    body: dict[str, object] = {
        "model": unit(attempt).model,
        "input": turns.text(said),
        "encoding_format": "float",
    }
    if "dimensions" in said.options:
        body["dimensions"] = said.options["dimensions"]
    return body


def _turn(message: Message) -> dict[str, object]:
    if not message.images:
        return {"role": message.role, "content": message.content}
    parts: list[dict[str, object]] = [{"type": "text", "text": message.content}]
    parts.extend({"type": "image_url", "image_url": {"url": turns.data_uri(image)}} for image in message.images)
    return {"role": message.role, "content": parts}


def _format(wanted: msgspec.Raw) -> dict[str, object]:
    if bytes(wanted).strip() == _JSON:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted, "strict": True}}
