"""What Ollama refuses before a model sees it, in its own words; formats, thinking, tools, images, options."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fake_ollama.refusal import RefusedError

if TYPE_CHECKING:
    from fake_ollama.runner import Model

FLOATS = ("temperature", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
INTEGERS = ("num_ctx", "num_predict", "num_batch", "num_gpu", "num_thread", "main_gpu", "seed", "top_k", "num_keep")
THINK = (None, True, False, "low", "medium", "high", "max")
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

NO_IMAGES_33 = {
    "error": {
        "code": 400,
        "message": "Multimodal data provided, but model does not support multimodal requests.",
        "type": "invalid_request_error",
    }
}


def compact(value: Any) -> str:
    """JSON as llama-server writes it into Ollama's ``error``."""
    return json.dumps(value, separators=(",", ":"))


def check_options(options: dict[str, Any]) -> None:
    """Wrong types are a 500, not a 400."""
    kinds = {
        **dict.fromkeys(FLOATS, ((int, float), "float32")),
        **dict.fromkeys(INTEGERS, ((int, float), "integer")),
        "stop": ((list,), "array"),
    }
    for name, value in options.items():
        kind, go_type = kinds.get(name, ((object,), ""))
        if not isinstance(value, kind):
            raise RefusedError(500, f'option "{name}" must be of type {go_type}')


def check_fields(body: dict[str, Any]) -> None:
    """Fields that are wrong whatever the model."""
    if body.get("think") not in THINK:
        values = '(must be "high", "medium", "low", "max", true, or false)'
        raise RefusedError(400, f"invalid think value: {json.dumps(body['think'])} {values}")
    if not 0 <= int(body.get("top_logprobs") or 0) <= 20:
        raise RefusedError(400, "top_logprobs must be between 0 and 20")
    wanted = body.get("format")
    if wanted not in (None, "", "json") and not isinstance(wanted, dict):
        told = json.dumps(json.dumps(wanted))
        raise RefusedError(500, f'invalid format: {told}; expected "json" or a valid JSON Schema object')


def check_schema(wanted: Any, *, old: bool) -> None:
    """A schema that cannot be turned into a grammar."""
    if not isinstance(wanted, dict) or not wanted:
        return
    if "$ref" in wanted:
        name = str(wanted["$ref"]).rpartition("/")[2]
        trouble = f"Error resolving ref {wanted['$ref']}: {name} not in {compact(wanted)}"
    elif wanted.get("type", "object") not in TYPES:
        trouble = f"Unrecognized schema: {compact(wanted)}"
    else:
        return
    if old:
        raise RefusedError(500, "invalid JSON schema in format")
    text = f"Field 'json_schema': \"json_schema\": JSON schema conversion failed:\n{trouble}"
    raise RefusedError(400, compact({"error": {"code": 400, "message": text, "type": "invalid_request_error"}}))


def check_images(images: Iterable[str], model: Model, *, old: bool) -> None:
    """A text model: refused by the new generation, ignored by the old one."""
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except binascii.Error:
            raise RefusedError(400, "illegal base64 data at input byte 0") from None
        if "vision" not in model.capabilities and not old:
            raise RefusedError(400, compact(NO_IMAGES_33))


def check_capabilities(body: dict[str, Any], model: Model, asked: str) -> None:
    """What this model cannot do; ``asked`` is ``chat`` or ``generate``."""
    if model.embeds_only:
        raise RefusedError(400, f'"{model.name}" does not support {asked}')
    if body.get("think") and "thinking" not in model.capabilities:
        raise RefusedError(400, f'"{model.name}" does not support thinking')
    for field, capability in (("tools", "tools"), ("suffix", "insert")):
        if body.get(field) and capability not in model.capabilities:
            raise RefusedError(400, f"registry.ollama.ai/library/{model.name} does not support {capability}")
