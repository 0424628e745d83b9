"""Listings: answers to ``discover`` attempts, read into Observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from arriero.backends.answers import count
from arriero.backends.frames import decode, frames
from arriero.backends.refusals import bad_reply, reported
from arriero.backends.wire import HttpReply
from arriero.core.outcome import Failure, Model, Observation, Subject
from arriero.core.request import Attempt

T = TypeVar("T")

_CLOUD = ("-cloud", ":cloud")
"""How the name of a model that Ollama passes on to its cloud ends.

Source: Ollama ``internal/modelref``.
"""


class _Error(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw()


class _Version(msgspec.Struct):
    version: str


class _Details(msgspec.Struct):
    context_length: msgspec.Raw = msgspec.Raw()


class _Entry(msgspec.Struct):
    """One model of ``/api/tags`` or ``/api/ps``."""

    name: str = ""
    model: str = ""
    digest: str | None = None
    capabilities: list[str] | None = None
    context_length: msgspec.Raw = msgspec.Raw()
    details: _Details | None = None
    remote_model: str | None = None
    remote_host: str | None = None


class _Entries(msgspec.Struct):
    models: list[_Entry] | None


class _Show(msgspec.Struct):
    """``/api/show``; ``details`` is what every version has."""

    details: dict[str, msgspec.Raw] | None
    model_info: dict[str, msgspec.Raw] | None = None
    capabilities: list[str] | None = None
    remote_model: str | None = None
    remote_host: str | None = None


class _Meta(msgspec.Struct):
    n_ctx: msgspec.Raw = msgspec.Raw()


class _Served(msgspec.Struct):
    """One model of ``/v1/models``: vLLM adds ``max_model_len``, llama-server ``meta``."""

    id: str
    max_model_len: msgspec.Raw = msgspec.Raw()
    meta: _Meta | None = None


class _ServedModels(msgspec.Struct):
    data: list[_Served] | None


_ERROR = msgspec.json.Decoder(_Error)
_VERSION = msgspec.json.Decoder(_Version)
_ENTRIES = msgspec.json.Decoder(_Entries)
_SHOW = msgspec.json.Decoder(_Show)
_SERVED = msgspec.json.Decoder(_ServedModels)
_NUMBER = msgspec.json.Decoder(float)
_TEXT = msgspec.json.Decoder(str)


def version(reply: HttpReply) -> Observation | Failure:
    """``/api/version`` of Ollama."""
    return _read(reply, "version", _VERSION, lambda seen: _observation(reply, "version", version=seen.version))


def models(reply: HttpReply) -> Observation | Failure:
    """``/api/tags`` of Ollama: what is installed."""
    return _read(reply, "models", _ENTRIES, lambda seen: _observation(reply, "models", _installed(seen)))


def resident(reply: HttpReply) -> Observation | Failure:
    """``/api/ps`` of Ollama: what is loaded, with the context each request has there."""
    return _read(reply, "resident", _ENTRIES, lambda seen: _observation(reply, "resident", _installed(seen)))


def details(attempt: Attempt, reply: HttpReply) -> Observation | Failure:
    """``/api/show`` of Ollama: what one model can, and the context it was trained for."""
    name = attempt.unit.model if attempt.unit is not None else ""
    return _read(reply, "details", _SHOW, lambda seen: _observation(reply, "details", (_shown(name, seen),)))


def served(reply: HttpReply) -> Observation | Failure:
    """``/v1/models`` of an OpenAI-compatible server."""
    return _read(reply, "models", _SERVED, lambda seen: _observation(reply, "models", _ids(seen)))


def _read(
    reply: HttpReply, subject: Subject, decoder: msgspec.json.Decoder[T], observe: Callable[[T], Observation]
) -> Observation | Failure:
    framed = frames(reply.body)
    if framed.trouble:
        return bad_reply(reply, framed.trouble)
    seen = decode(decoder, framed.objects)
    if seen is not None:
        return observe(seen)
    wrong = decode(_ERROR, framed.objects)
    if wrong is not None and wrong.error:
        return reported(reply, bytes(wrong.error))
    return bad_reply(reply, f"the body is not a listing of {subject}")


def _observation(
    reply: HttpReply, subject: Subject, found: tuple[Model, ...] = (), *, version: str = ""
) -> Observation:
    return Observation(subject=subject, version=version, models=found, latency_s=reply.latency_s)


def _installed(seen: _Entries) -> tuple[Model, ...]:
    return tuple(
        Model(
            name=name,
            digest=entry.digest or "",
            capabilities=tuple(entry.capabilities or ()),
            context_tokens=_tokens(entry.context_length)
            or (_tokens(entry.details.context_length) if entry.details else None),
            remote=_remote(name, entry.remote_model, entry.remote_host),
        )
        for entry in seen.models or ()
        if (name := entry.name or entry.model)
    )


def _shown(name: str, seen: _Show) -> Model:
    info = seen.model_info or {}
    family = decode(_TEXT, bytes(info.get("general.architecture", msgspec.Raw()))) or ""
    return Model(
        name=name,
        capabilities=tuple(seen.capabilities or ()),
        context_tokens=_tokens(info.get(f"{family}.context_length", msgspec.Raw())),
        remote=_remote(name, seen.remote_model, seen.remote_host),
    )


def _ids(seen: _ServedModels) -> tuple[Model, ...]:
    return tuple(
        Model(
            name=entry.id,
            # Never the context it was trained for: a server may hold far less.
            context_tokens=_tokens(entry.max_model_len) or (_tokens(entry.meta.n_ctx) if entry.meta else None),
        )
        for entry in seen.data or ()
        if entry.id
    )


def _remote(name: str, model: str | None, host: str | None) -> bool:
    return bool(model or host) or name.endswith(_CLOUD)


def _tokens(raw: msgspec.Raw) -> int | None:
    """A positive number of tokens in foreign JSON; None if it is anything else."""
    tokens = decode(_NUMBER, bytes(raw))
    return count(tokens) or None
