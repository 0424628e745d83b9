"""What the listing endpoints and ``/api/embed`` answer, field by field as recorded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fake_ollama.job import TOO_LONG_24
from fake_ollama.refusal import RefusedError
from fake_ollama.runner import Model
from fake_ollama.text import count_tokens

if TYPE_CHECKING:
    from fake_ollama.server import FakeOllama

NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
DIMENSIONS = 8


def tags(models: Iterable[Model], *, old: bool) -> list[dict[str, Any]]:
    """``/api/tags``; the old generation names neither capabilities nor context."""
    return [_tag(model, old=old) for model in models]


def _tag(model: Model, *, old: bool) -> dict[str, Any]:
    details: dict[str, Any] = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "7B",
        "quantization_level": "Q4_0",
    }
    new = {} if old else {"capabilities": list(model.capabilities)}
    if not old:
        details |= {"context_length": model.context_tokens, "embedding_length": 576}
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 98362698,
        "digest": model.digest,
        "details": details,
        **new,
    }


def show(body: Mapping[str, Any], models: Mapping[str, Model]) -> dict[str, Any]:
    """``/api/show``."""
    name = body.get("model") or ""
    if not name:
        raise RefusedError(400, "model is required")
    if name not in models:
        raise RefusedError(404, f"model '{name}' not found")
    model = models[name]
    tag = _tag(model, old=True)
    return {
        "modelfile": f"# FROM {name}\n",
        "template": "{{ .Prompt }}",
        "details": tag["details"],
        "model_info": {"general.architecture": "llama", "llama.context_length": model.context_tokens},
        "capabilities": list(model.capabilities),
        "modified_at": tag["modified_at"],
    }


async def embed(body: Mapping[str, Any], server: FakeOllama) -> dict[str, Any]:
    """``/api/embed``: vectors that are a function of the text; one bad input fails the list."""
    name, given = body.get("model") or "", body.get("input")
    if not name:
        raise RefusedError(404, "model '' not found")
    if name not in server.models:
        raise RefusedError(404, f'model "{name}" not found, try pulling it first')
    inputs = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in inputs):
        raise RefusedError(400, "invalid input type")
    if given in ("", []):
        return {"model": name, "embeddings": []}
    context = int((body.get("options") or {}).get("num_ctx", server.context))
    if body.get("truncate") is False and any(count_tokens(text, 0) > context for text in inputs):
        raise RefusedError(400, TOO_LONG_24)
    model = server.models[name]
    if not server.old and "embedding" not in model.capabilities:
        raise RefusedError(501, NO_EMBEDDINGS)
    runner = await server.loader.hold(model, {"num_ctx": context, "num_batch": 512}, None)
    try:
        await runner.take_slot()
        runner.give_slot()
    finally:
        server.loader.release(runner)
    if "" in inputs:
        raise RefusedError(500, "Failed to create new sequence: no input provided")
    tokens = sum(count_tokens(text, 0) for text in inputs)
    vectors = [vector(text) for text in inputs]
    return {
        "model": name,
        "embeddings": vectors,
        "total_duration": 1000,
        "load_duration": 500,
        "prompt_eval_count": tokens,
    }


def vector(text: str) -> list[float]:
    """Length 1, as Ollama's are."""
    raw = [byte - 127.5 for byte in hashlib.blake2b(text.encode(), digest_size=DIMENSIONS).digest()]
    length = math.sqrt(sum(x * x for x in raw))
    return [x / length for x in raw]
