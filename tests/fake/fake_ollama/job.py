"""A generation as asked for: read and checked the way Ollama reads and checks it, errors word for word."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from math import inf
from typing import Any

from fake_ollama.checks import (
    check_capabilities,
    check_fields,
    check_images,
    check_options,
    check_schema,
    compact,
)
from fake_ollama.frames import Frames, OllamaFrames, OpenAIFrames
from fake_ollama.refusal import RefusedError
from fake_ollama.runner import RUNNER_OPTIONS, Model
from fake_ollama.text import count_tokens, prompt_hash
from fake_ollama.wire import Request

CONTEXT_STEP = 256
"""0.33 rounds the context up to a multiple of this."""

TOO_LONG_24 = "the input length exceeds the context length"
TOO_LONG_SHIFT_33 = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass
class Turns:
    """What the model reads."""

    prompt: str  # the last turn: what the answer is a function of
    n_tokens: int
    images: list[str] = field(default_factory=list)
    empty: bool = False  # nothing to answer: a preload, or with keep_alive 0 an unload


@dataclass
class Job:
    """What to generate and how to write it."""

    frames: Frames
    model: str
    turns: Turns
    body: dict[str, Any]
    options: dict[str, Any]
    stream: bool
    keep_alive_s: float | None = None
    wants_json: bool = False
    with_context: bool = False  # /api/generate gives the tokens back

    @property
    def prompt_hash(self) -> str:
        return prompt_hash(self.turns.prompt)

    @property
    def purpose(self) -> str:
        """What it is probably for."""
        if self.turns.empty:
            return "unload" if self.keep_alive_s == 0 else "preload"
        return "probe" if self.options.get("num_predict") == 1 else "request"

    def runner_options(self, default_context: int) -> dict[str, Any]:
        """What decides whether the loaded model fits."""
        return runner_options(self.options, default_context)

    def check_model(self, model: Model, *, old: bool) -> None:
        """Refuse what this model cannot do."""
        check_capabilities(self.body, model, "chat" if "messages" in self.body else "generate")
        check_images(self.turns.images, model, old=old)
        check_schema(self.body.get("format"), old=old)

    def fit(self, context: int, *, old: bool) -> int:
        """Prompt tokens that are really read.

        Raises:
            RefusedError: If the prompt does not fit and may not be cut.
        """
        n_prompt = self.turns.n_tokens
        real = context if old else CONTEXT_STEP * math.ceil(context / CONTEXT_STEP)
        if n_prompt <= real:
            return n_prompt
        if self.body.get("truncate", True):
            if not old and self.body.get("shift") is False:
                raise RefusedError(400, TOO_LONG_SHIFT_33)
            return context if old else context // 2
        if old:
            raise RefusedError(400, TOO_LONG_24)
        text = f"request ({n_prompt} tokens) exceeds the available context size ({real} tokens), try increasing it"
        error = {"code": 400, "message": text, "type": "exceed_context_size_error"}
        raise RefusedError(400, compact({"error": {**error, "n_prompt_tokens": n_prompt, "n_ctx": real}}))


def read_job(request: Request) -> Job:
    """Read a generation.

    Raises:
        RefusedError: As the server words it.
    """
    if request.path.startswith("/v1/"):
        return _openai(request)
    chat = request.path == "/api/chat"
    body = read_body(request, "api.ChatRequest" if chat else "api.GenerateRequest")
    model = body.get("model") or ""
    if not model:
        raise RefusedError(400, "model is required") if chat else RefusedError(404, "model '' not found")
    if " " in model:
        raise RefusedError(400, "invalid model name")
    turns = _chat(body) if chat else _generate(body)
    options = body.get("options") or {}
    check_options(options)
    check_fields(body)
    return Job(
        frames=OllamaFrames(model, chat=chat),
        model=model,
        turns=turns,
        body=body,
        options=options,
        stream=body.get("stream", True),
        keep_alive_s=read_duration(body["keep_alive"]) if "keep_alive" in body else None,
        wants_json=body.get("format") not in (None, ""),
        with_context=not chat and not body.get("raw"),
    )


def runner_options(options: dict[str, Any], default_context: int) -> dict[str, Any]:
    """Those of the options that load the model, with Ollama's defaults."""
    given = {name: options[name] for name in RUNNER_OPTIONS if name in options}
    return {"num_ctx": default_context, "num_batch": 512, **given}


def read_body(request: Request, go_type: str) -> dict[str, Any]:
    """A JSON object, or Go's complaint."""
    if not request.body:
        raise RefusedError(400, "missing request body")
    try:
        body = json.loads(request.body)
    except ValueError:
        raise RefusedError(400, "unexpected EOF") from None
    if not isinstance(body, dict):
        raise RefusedError(400, f"json: cannot unmarshal array into Go value of type {go_type}")
    return body


def read_duration(value: Any) -> float:
    """Ollama's ``keep_alive``: seconds or a Go duration; negative is for ever."""
    if isinstance(value, str):
        parts = re.findall(r"(-?[\d.]+)(ms|s|m|h)", value)
        if not parts:
            raise RefusedError(400, f'time: invalid duration "{value}"')
        value = sum(float(number) * UNITS[unit] for number, unit in parts)
    return inf if value < 0 else float(value)


def _chat(body: dict[str, Any]) -> Turns:
    messages = body.get("messages") or []
    if not isinstance(messages, list):
        raise RefusedError(400, _go("string", "ChatRequest.messages", "[]api.Message"))
    contents = [message.get("content") or "" for message in messages]
    if not all(isinstance(content, str) for content in contents):
        raise RefusedError(400, _go("number", "ChatRequest.messages.content", "string"))
    images = [image for message in messages for image in message.get("images") or []]
    n_tokens = count_tokens("".join(contents), len(messages))
    return Turns(contents[-1] if contents else "", n_tokens, images, empty=not messages)


def _generate(body: dict[str, Any]) -> Turns:
    prompt = body.get("prompt") or ""
    if not isinstance(prompt, str):
        raise RefusedError(400, _go("number", "GenerateRequest.prompt", "string"))
    if body.get("raw") and body.get("system"):
        raise RefusedError(400, "raw mode does not support template, system, or context")
    text = (body.get("system") or "") + prompt
    return Turns(prompt, count_tokens(text), body.get("images") or [], empty=not prompt)


def _openai(request: Request) -> Job:
    frames = OpenAIFrames("", usage=False)
    try:
        body = read_body(request, "openai.ChatCompletionRequest")
        turns = _chat({"messages": _flat(body.get("messages") or [])})
    except RefusedError as refused:
        raise RefusedError(refused.status, refused.text, frames) from None
    model = body.get("model") or ""
    if turns.empty:
        raise RefusedError(400, "[] is too short - 'messages'", frames)
    if not model:
        raise RefusedError(400, "model is required", frames)
    if isinstance(body.get("temperature"), str):
        raise RefusedError(400, _go("string", "ChatCompletionRequest.temperature", "float64"), frames)
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return Job(
        frames=OpenAIFrames(model, usage=usage),
        model=model,
        turns=turns,
        body={},
        options={"num_predict": body["max_tokens"]} if "max_tokens" in body else {},
        stream=bool(body.get("stream")),
        wants_json=(body.get("response_format") or {}).get("type") in ("json_object", "json_schema"),
    )


def _flat(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts of a message as one text; image URLs are refused."""
    flat = []
    for message in messages:
        parts = message.get("content") or ""
        if isinstance(parts, list):
            if any(not part["image_url"]["url"].startswith("data:") for part in parts if part["type"] == "image_url"):
                raise RefusedError(
                    400, "image URLs are not currently supported, please use base64 encoded data instead"
                )
            parts = "".join(part.get("text", "") for part in parts)
        flat.append({**message, "content": parts})
    return flat


def _go(given: str, name: str, wanted: str) -> str:
    return f"json: cannot unmarshal {given} into Go struct field {name} of type {wanted}"
