"""Bodies of OpenAI and Ollama requests, field by field, to what a row asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from arriero.inputs.members import members, typed
from arriero.inputs.row import BadLineError
from arriero.inputs.turns import RefusedError, images, turns

Wanted: TypeAlias = dict[str, Any]
"""What a body asks for, by the names of ``Row``; ``options`` is always there while fields are taken."""

Body: TypeAlias = Mapping[str, msgspec.Raw]
Take: TypeAlias = Callable[[Wanted, Body], None]

IGNORED = frozenset(
    {
        "stream",
        "stream_options",
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
        "encoding_format",
        "keep_alive",
        "truncate",
    }
)
"""Body fields that change no answer, or that arriero decides itself (``stream``, ``keep_alive``, ``truncate``)."""

_string = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(int | float)
_integer = msgspec.json.Decoder(int)
_stops = msgspec.json.Decoder(str | list[str])
_think = msgspec.json.Decoder(bool | str)
_object = msgspec.json.Decoder(dict[str, Any])


def most_tokens(fields: Body, name: str) -> int | None:
    """A bound for the answer: positive, or Ollama's -1 and -2 for none.

    Raises:
        BadLineError: If it is 0 (on Ollama: an answer without end) or no such number.
    """
    most = typed(fields, name, _integer)
    if most is not None and (most == 0 or most < -2):  # noqa: PLR2004  Ollama's own two values
        raise BadLineError(f"{name} must be positive, or -1 for no bound", field=name)
    return most


def answer_format(fields: Body) -> msgspec.Raw | None:
    """Ollama's ``format``: ``"json"`` or a JSON schema, its bytes kept; ``""`` and null are none.

    Raises:
        BadLineError: If it is something else.
    """
    text = bytes(fields["format"])
    if text in {b"null", b'""'}:
        return None
    if text != b'"json"' and not text.startswith(b"{"):
        raise BadLineError('format must be "json" or a JSON schema', field="format")
    return fields["format"].copy()


def option_members(fields: Body) -> dict[str, Any] | None:
    """The row's own options; None if it has none.

    Raises:
        BadLineError: If they are no object, or one stands twice in it.
    """
    found = typed(fields, "options", _object)
    if found is not None:
        members(fields["options"], field="options")
    return found


def _take(name: str, decoder: msgspec.json.Decoder[Any]) -> Take:
    def take(wanted: Wanted, body: Body) -> None:
        wanted[name] = typed(body, name, decoder)

    return take


def _option(name: str, decoder: msgspec.json.Decoder[Any]) -> Take:
    def take(wanted: Wanted, body: Body) -> None:
        wanted["options"][name] = typed(body, name, decoder)

    return take


def _refuse_unless(name: str, *harmless: bytes) -> Take:
    def take(_: Wanted, body: Body) -> None:
        if bytes(body[name]) not in harmless:
            raise RefusedError(f"body field {name} cannot be sent")

    return take


def _messages(wanted: Wanted, body: Body) -> None:
    wanted["messages"] = turns(body["messages"])


def _images(wanted: Wanted, body: Body) -> None:
    wanted["images"] = images(body)


def _input(wanted: Wanted, body: Body) -> None:
    name = "input" if "input" in body else "prompt"
    if not bytes(body[name]).startswith(b'"'):
        raise RefusedError(f"{name} must be one string; a row is one request")
    wanted["prompt"] = typed(body, name, _string)


def _stop(wanted: Wanted, body: Body) -> None:
    found = typed(body, "stop", _stops)
    wanted["options"]["stop"] = [found] if isinstance(found, str) else found


def _tokens(wanted: Wanted, body: Body) -> None:
    """``max_completion_tokens`` is the newer word and wins."""
    name = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    wanted["max_tokens"] = most_tokens(body, name)


def _response_format(wanted: Wanted, body: Body) -> None:
    asked = members(body["response_format"], field="response_format")
    kind = typed(asked, "type", _string)
    if kind == "json_object":
        wanted["format"] = msgspec.Raw(b'"json"')
    elif kind == "json_schema":
        schema = members(asked.get("json_schema", b"{}"), field="response_format").get("schema")
        if schema is None or not bytes(schema).startswith(b"{"):
            raise BadLineError("response_format has no json_schema.schema", field="response_format")
        wanted["format"] = schema.copy()
    elif kind != "text":
        raise RefusedError("a response_format other than text, json_object, json_schema")


def _format(wanted: Wanted, body: Body) -> None:
    wanted["format"] = answer_format(body)


def _effort(wanted: Wanted, body: Body) -> None:
    effort = typed(body, "reasoning_effort", _string)
    wanted["options"]["think"] = False if effort == "none" else effort


def _ollama_options(wanted: Wanted, body: Body) -> None:
    wanted["options"] |= option_members(body) or {}


_SAMPLING = {
    name: _option(name, _number)
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_k", "min_p", "repeat_penalty")
}
_BOTH = {"model": _take("model", _string), "messages": _messages, "prompt": _input, "input": _input}

OPENAI_FIELDS: dict[str, Take] = {
    **_BOTH,
    **_SAMPLING,
    "seed": _option("seed", _integer),
    "stop": _stop,
    "max_tokens": _tokens,
    "max_completion_tokens": _tokens,
    "response_format": _response_format,
    "reasoning_effort": _effort,
    "n": _refuse_unless("n", b"1"),
    "logprobs": _refuse_unless("logprobs", b"false"),
    "top_logprobs": _refuse_unless("top_logprobs", b"0"),
    "tools": _refuse_unless("tools", b"[]"),
    "functions": _refuse_unless("functions", b"[]"),
    "tool_choice": _refuse_unless("tool_choice", b'"none"'),
    "logit_bias": _refuse_unless("logit_bias", b"{}"),
    "echo": _refuse_unless("echo", b"false"),
    "best_of": _refuse_unless("best_of", b"1"),
}
"""OpenAI body fields that are understood; sampling defaults stay the model's own (``/v1`` would make them 1.0)."""

OLLAMA_FIELDS: dict[str, Take] = {
    **_BOTH,
    "system": _take("system", _string),
    "options": _ollama_options,
    "format": _format,
    "images": _images,
    "think": _option("think", _think),
    "tools": _refuse_unless("tools", b"[]"),
}
"""Ollama body fields that are understood, for lines whose url is an ``/api/`` path."""
