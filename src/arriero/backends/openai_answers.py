"""OpenAI answers: whether a 200 of ``/v1/chat/completions`` or ``/v1/embeddings`` is whole, and what it says."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.backends.answers import count, finish_reason, joined, repeats, seconds, served_model, vectors_trouble
from arriero.backends.frames import Frames, decode_all, frames
from arriero.backends.refusals import bad_reply, reported
from arriero.backends.wire import HttpReply
from arriero.core.outcome import Failure, Success, Timing, Usage
from arriero.core.request import Attempt

_NOTHING = (b"", b"null", b'""')
_MS_PER_S = 1e3


class _Turn(msgspec.Struct, gc=False):
    """A message or a piece of one; servers name the thoughts in two ways."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: _Turn | None = None
    delta: _Turn | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Any = None
    completion_tokens: Any = None


class _Timings(msgspec.Struct, gc=False):
    """llama-server's own measurements, in milliseconds."""

    prompt_ms: Any = None
    predicted_ms: Any = None


class _Vector(msgspec.Struct, gc=False):
    embedding: msgspec.Raw = msgspec.Raw()


class _Object(msgspec.Struct, gc=False):
    """One object of a reply: a whole answer, a piece of a stream, or a list of embeddings."""

    model: str | None = None
    choices: list[_Choice] | None = None
    data: list[_Vector] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: msgspec.Raw = msgspec.Raw()


_OBJECTS = msgspec.json.Decoder(_Object)


class _Gathered(msgspec.Struct):
    """What the pieces of one answer amount to so far."""

    contents: list[str]
    thoughts: list[str]
    logprobs: list[bytes]
    reason: str | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    model: str = ""


def judge(attempt: Attempt, reply: HttpReply, *, embedding: bool) -> Success | Failure:
    """Judge a 200.

    Args:
        attempt: What was asked.
        reply: What came back.
        embedding: Embeddings were asked for.

    Source:
        OpenAI API reference, chat completions and embeddings. A stream ends with a finish reason *and* ``[DONE]``:
        Ollama's ``/v1`` ends a failed one cleanly without either (seen on v0.24.0 and v0.33.0).
    """
    framed = frames(reply.body)
    if framed.trouble:
        return bad_reply(reply, framed.trouble)
    objects = decode_all(_OBJECTS, framed.objects)
    if not objects:
        return bad_reply(reply, "the body is not the JSON of an answer, or is cut")
    named = ""
    for piece in objects:
        if piece.error and bytes(piece.error) not in _NOTHING:
            return reported(reply, bytes(piece.error))
        if piece.model and piece.model != named:
            if named:
                return bad_reply(reply, "one answer names two models")
            named = piece.model
    if attempt.unit is not None and not served_model(attempt.unit.model, named):
        return bad_reply(reply, "the answer is of another model")
    return _embedded(reply, objects, named) if embedding else _generated(reply, framed, objects, named)


def _generated(reply: HttpReply, framed: Frames, objects: list[_Object], named: str) -> Success | Failure:
    gathered = _Gathered([], [], [], model=named)
    for piece in objects:
        gathered.usage = piece.usage or gathered.usage
        gathered.timings = piece.timings or gathered.timings
        for choice in piece.choices or ():
            if choice.index == 0 and not _take(gathered, choice):
                return bad_reply(reply, "bytes after the end of the answer")
    if gathered.reason is None or (framed.events and not framed.ended):
        repeated = gathered.reason is None and repeats([*gathered.thoughts, *gathered.contents])
        return bad_reply(reply, "the answer ends without finish_reason or [DONE]", repeated=repeated)
    return _success(reply, gathered)


def _take(gathered: _Gathered, choice: _Choice) -> bool:
    """Add a piece; False if there had been an end before it."""
    turn = choice.message or choice.delta
    content = (turn.content if turn is not None else choice.text) or ""
    thought = (turn.reasoning_content or turn.reasoning or "") if turn is not None else ""
    if gathered.reason is not None and (content or thought or choice.message or choice.finish_reason):
        return False
    if content or thought:
        gathered.contents.append(content)
        gathered.thoughts.append(thought)
    if choice.logprobs is not None and choice.logprobs.content:
        gathered.logprobs.append(bytes(choice.logprobs.content))
    if choice.finish_reason is not None:
        gathered.reason = choice.finish_reason
    return True


def _success(reply: HttpReply, gathered: _Gathered) -> Success:
    usage, timings = gathered.usage or _Usage(), gathered.timings or _Timings()
    return Success(
        text="".join(gathered.contents),
        finish_reason=finish_reason(gathered.reason or ""),
        usage=Usage(count(usage.prompt_tokens), count(usage.completion_tokens)),
        timing=Timing(
            latency_s=reply.latency_s,
            ttft_s=reply.ttft_s,
            prefill_s=seconds(timings.prompt_ms, _MS_PER_S),
            decode_s=seconds(timings.predicted_ms, _MS_PER_S),
        ),
        model=gathered.model,
        thinking="".join(gathered.thoughts) or None,
        logprobs=joined(gathered.logprobs),
    )


def _embedded(reply: HttpReply, objects: list[_Object], named: str) -> Success | Failure:
    if len(objects) > 1:
        return bad_reply(reply, "bytes after the end of the answer")
    raw = b"[" + b",".join(bytes(vector.embedding) for vector in objects[0].data or ()) + b"]"
    trouble = vectors_trouble(raw, expected=1)
    if trouble:
        return bad_reply(reply, trouble)
    usage = objects[0].usage or _Usage()
    return Success(
        text="",
        finish_reason="stop",
        usage=Usage(count(usage.prompt_tokens), count(usage.completion_tokens)),
        timing=Timing(latency_s=reply.latency_s, ttft_s=reply.ttft_s),
        model=named,
        embeddings=msgspec.Raw(raw),
    )
