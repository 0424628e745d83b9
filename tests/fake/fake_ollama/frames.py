"""How an answer looks on each endpoint: a token, the end of a stream, the whole, an error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from fake_ollama.wire import JSON, NDJSON, SSE, dumps

ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


@dataclass
class Stats:
    """Counters of one answer; durations in nanoseconds."""

    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0

    def fields(self) -> dict[str, int]:
        """As Ollama writes them: what is 0 is left out."""
        return {name: value for name, value in vars(self).items() if value}


class Frames(Protocol):
    """The look of an endpoint."""

    stream_type: str
    whole_type: str

    def token(self, text: str) -> bytes: ...
    def last(self, reason: str, stats: Stats | None, extra: dict[str, Any]) -> bytes: ...
    def whole(self, text: str, reason: str | None, stats: Stats | None, extra: dict[str, Any]) -> bytes: ...
    def error(self, status: int, text: str) -> bytes: ...
    def error_line(self, text: str) -> bytes: ...


class OllamaFrames:
    """``/api/chat`` (``message``) and ``/api/generate`` (``response``)."""

    stream_type = NDJSON
    whole_type = JSON

    def __init__(self, model: str, *, chat: bool) -> None:
        self.model = model
        self.chat = chat

    def token(self, text: str) -> bytes:
        return dumps({**self._head(text), "done": False}) + b"\n"

    def last(self, reason: str, stats: Stats | None, extra: dict[str, Any]) -> bytes:
        return self.whole("", reason, stats, extra) + b"\n"

    def whole(self, text: str, reason: str | None, stats: Stats | None, extra: dict[str, Any]) -> bytes:
        if reason is None:
            return dumps({**self._head(text), "done": False})
        end = {"done": True, "done_reason": reason}
        return dumps({**self._head(text), **end, **extra, **(stats.fields() if stats else {})})

    def error(self, status: int, text: str) -> bytes:
        return dumps({"error": text})

    def error_line(self, text: str) -> bytes:
        return dumps({"error": text}) + b"\n"

    def _head(self, text: str) -> dict[str, Any]:
        answer = {"message": {"role": "assistant", "content": text}} if self.chat else {"response": text}
        created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"model": self.model, "created_at": created, **answer}


class OpenAIFrames:
    """``/v1/chat/completions``."""

    stream_type = SSE
    whole_type = JSON.partition(";")[0]

    def __init__(self, model: str, *, usage: bool) -> None:
        self.model = model
        self.usage = usage
        self._first = True

    def token(self, text: str) -> bytes:
        role = {"role": "assistant"} if self._first else {}
        self._first = False
        return self._event({"index": 0, "delta": {**role, "content": text}, "finish_reason": None})

    def last(self, reason: str, stats: Stats | None, extra: dict[str, Any]) -> bytes:
        end = self._event({"index": 0, "delta": {}, "finish_reason": reason})
        if self.usage and stats:
            chunk = {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(stats)}
            end += b"data: " + dumps(chunk) + b"\n\n"
        return end + b"data: [DONE]\n\n"

    def whole(self, text: str, reason: str | None, stats: Stats | None, extra: dict[str, Any]) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        usage = _usage(stats if stats and reason else Stats())
        return dumps({**self._head("chat.completion"), "choices": [choice], "usage": usage}) + b"\n"

    def error(self, status: int, text: str) -> bytes:
        kind = ERROR_TYPES.get(status, "api_error")
        return dumps({"error": {"message": text, "type": kind, "param": None, "code": None}}) + b"\n"

    def error_line(self, text: str) -> bytes:
        """The error's text is lost here: an empty chunk without a model, and no ``[DONE]``."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
        return b"data: " + dumps({**self._head("chat.completion.chunk"), "model": "", "choices": [choice]}) + b"\n\n"

    def _event(self, choice: dict[str, Any]) -> bytes:
        return b"data: " + dumps({**self._head("chat.completion.chunk"), "choices": [choice]}) + b"\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        created = int(datetime.now(UTC).timestamp())
        mark = {"id": "chatcmpl-1", "object": kind, "created": created}
        return {**mark, "model": self.model, "system_fingerprint": "fp_ollama"}


def _usage(stats: Stats) -> dict[str, int]:
    prompt, output = stats.prompt_eval_count, stats.eval_count
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
