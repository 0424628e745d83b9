"""Recorded replies of real servers, the attempts they answer, and frames to build mutants from."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path

from arriero.backends.dialects import backend
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit

FOLDER = Path(__file__).parent.parent / "conformance" / "recordings"
SUBJECTS = {"/api/version": "version", "/api/tags": "models", "/api/show": "details", "/api/ps": "resident"}
NEVER = Timeouts(inf, inf, inf)


def _exchange(line):
    case = json.loads(line)
    case["body"] = "".join(chunk["text"] for chunk in case["chunks"]).encode()
    case["type"] = case["headers"].get("content-type", "").partition(";")[0]
    return case


EXCHANGES = [_exchange(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def is_openai(case):
    return case["request"]["path"].startswith("/v1/")


def discovers(case):
    path = case["request"]["path"]
    return path in SUBJECTS or path.startswith("/v1/model")


def attempt_of(case):
    """The attempt that a recorded exchange answers."""
    path, body = case["request"]["path"], case["request"]["body"]
    asked = body if isinstance(body, dict) else {}
    ways = {"id": 1, "instance": "a", "unit": Unit(asked.get("model", "smollm2:135m")), "timeouts": NEVER}
    if discovers(case):
        return Attempt(purpose="discover", subject=SUBJECTS.get(path, "models"), **ways)
    purpose = next((purpose for purpose in ("preload", "unload") if f"-{purpose}" in case["case"]), "request")
    if purpose != "request":
        return Attempt(purpose=purpose, endpoint=path, **ways)
    endpoint = {"/api/embeddings": "/api/embed", "/v1/embeddings": "/api/embed"}.get(path, path)
    content = Content(prompt="Tell me about llamas.", endpoint=endpoint)
    return Attempt(request=Request(batch=1, position=0, line=1, id="1", content=content, unit=ways["unit"]), **ways)


def dialect(case):
    return backend("openai" if is_openai(case) else "ollama")


def _stream(model, *, thoughts=False, carriage=False):
    """A stream as llama-server and vLLM write it: a role, pieces, an end, usage, [DONE]."""
    chunk = {"id": "c1", "object": "chat.completion.chunk", "model": model}
    delta = {"role": "assistant", "content": None}
    pieces = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
    if thoughts:
        pieces.append(
            {**chunk, "choices": [{"index": 0, "delta": {"reasoning_content": "So."}, "finish_reason": None}]}
        )
    pieces += [
        {**chunk, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        for word in ("Lla", "mas é", ' "are" ', "\n\nkind", " 😀")
    ]
    pieces.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    timings = {"prompt_ms": 1.5, "predicted_ms": 7.25}
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    pieces.append({**chunk, "choices": [], "usage": usage, "timings": timings})
    end = "\r\n\r\n" if carriage else "\n\n"
    return "".join(f"data: {json.dumps(piece, ensure_ascii=thoughts)}{end}" for piece in pieces) + f"data: [DONE]{end}"


def _other(name, body, path="/v1/chat/completions"):
    request = {"path": path, "body": {"model": "m", "stream": True}}
    return {"case": name, "request": request, "status": 200, "type": "text/event-stream", "body": body.encode()}


OTHERS = [
    _other("llama-server", _stream("m")),
    _other("vllm", _stream("m-2024-08-06", thoughts=True)),
    _other("carriage", _stream("org/m", carriage=True)),
    _other("comments", ": ping\n\nevent: message\nid: 1\n" + _stream("m")),
]
"""Streams of OpenAI-compatible servers that are no Ollama, by the shapes of their documentation."""
