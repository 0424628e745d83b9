"""What the listing endpoints and ``/api/embed`` answer, field by field as recorded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fake_ollama.job import TOO_LONG_24, read_duration, runner_options
from fake_ollama.refusal import RefusedError
from fake_ollama.runner import Model
from fake_ollama.text import count_tokens

if TYPE_CHECKING:
    from fake_ollama.server import FakeOllama

NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
NO_INPUT_24, NO_INPUT_33 = "Failed to create new sequence: no input provided", "Input content cannot be empty"
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
    options = runner_options(body.get("options") or {}, server.context)
    keep_alive_s = read_duration(body["keep_alive"]) if "keep_alive" in body else None
    model = server.models[name]
    runner = await server.loader.hold(model, options, keep_alive_s)
    try:
        if given in ("", []):
            return {"model": name, "embeddings": []}
        _check_inputs(body, inputs, options["num_ctx"], model, old=server.old)
        await runner.take_slot()
        runner.give_slot()
    finally:
        server.loader.release(runner)
    tokens = sum(count_tokens(text, 0) for text in inputs)
    vectors = [vector(text) for text in inputs]
    return {
        "model": name,
        "embeddings": vectors,
        "total_duration": 1000,
        "load_duration": 500,
        "prompt_eval_count": tokens,
    }


def _check_inputs(body: Mapping[str, Any], inputs: list[str], context: int, model: Model, *, old: bool) -> None:
    if body.get("truncate") is False and any(count_tokens(text, 0) > context for text in inputs):
        raise RefusedError(400, TOO_LONG_24)
    if not old and "embedding" not in model.capabilities:
        raise RefusedError(501, NO_EMBEDDINGS)
    if "" in inputs:
        raise RefusedError(*((500, NO_INPUT_24) if old else (400, NO_INPUT_33)))


def vector(text: str) -> list[float]:
    """Length 1, as Ollama's are."""
    raw = [byte - 127.5 for byte in hashlib.blake2b(text.encode(), digest_size=DIMENSIONS).digest()]
    length = math.sqrt(sum(x * x for x in raw))
    return [x / length for x in raw]
