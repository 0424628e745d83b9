"""Ollama answers: whether a 200 of ``/api/chat``, ``/api/generate`` or ``/api/embed`` is whole, and what it says."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.backends.answers import count, finish_reason, joined, repeats, same_model, seconds, vectors_trouble
from arriero.backends.frames import decode_all, frames
from arriero.backends.refusals import bad_reply, reported
from arriero.backends.wire import HttpReply
from arriero.core.outcome import Failure, Success, Timing, Usage
from arriero.core.request import Attempt

_NOTHING = (b"", b"null", b'""')

_APOLOGIES = frozenset({"Error: No response from distributed inference"})
"""Whole answers, ``done: true`` included, that a gateway writes when the instance behind it failed.

Source: OLOL ``proxy.py`` at cc67010.
"""


class _Turn(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None


class _Line(msgspec.Struct, gc=False):
    """One object of a reply; metrics are of any type, since a gateway's may be missing or odd."""

    model: str | None = None
    message: _Turn | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw()
    logprobs: msgspec.Raw = msgspec.Raw()
    embeddings: msgspec.Raw = msgspec.Raw()
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_count: Any = None
    prompt_eval_duration: Any = None
    eval_count: Any = None
    eval_duration: Any = None


_LINES = msgspec.json.Decoder(_Line)


def read(attempt: Attempt, reply: HttpReply) -> list[_Line] | Failure:
    """The objects of a 200, all of one model and none of them an error; a Failure if they are not."""
    framed = frames(reply.body)
    if framed.trouble:
        return bad_reply(reply, framed.trouble)
    lines = decode_all(_LINES, framed.objects)
    if not lines:
        return bad_reply(reply, "the body is not the JSON of an answer, or is cut")
    named = ""
    for line in lines:
        if line.error and bytes(line.error) not in _NOTHING:
            return reported(reply, bytes(line.error))
        if line.model and line.model != named:
            if named:
                return bad_reply(reply, "one answer names two models")
            named = line.model
    if attempt.unit is not None and not same_model(attempt.unit.model, named):
        return bad_reply(reply, "the answer is of another model")
    return lines


def generated(attempt: Attempt, reply: HttpReply, lines: list[_Line]) -> Success | Failure:
    """Judge a generation, a preload or an unload.

    Source:
        Ollama ``docs/api.md``; the endings seen on v0.24.0 and v0.33.0: only ``done: true`` is an end.
    """
    contents: list[str] = []
    thoughts: list[str] = []
    logprobs: list[bytes] = []
    ends = 0
    for line in lines:
        turn = line.message
        thought = line.thinking if turn is None else turn.thinking
        if turn is not None:
            contents.append(turn.content or "")
        elif line.response is not None:
            contents.append(line.response)
        if thought:
            thoughts.append(thought)
        if line.logprobs:
            logprobs.append(bytes(line.logprobs))
        if line.done:
            ends += 1
    if ends != 1 or not lines[-1].done:
        return _unfinished(reply, ends, [*thoughts, *contents])
    if not contents:
        return bad_reply(reply, "the answer has neither a message nor a response")
    return _ended(attempt, reply, lines[-1], "".join(contents), "".join(thoughts), joined(logprobs))


def embedded(reply: HttpReply, lines: list[_Line]) -> Success | Failure:
    """Judge an answer of ``/api/embed`` to one text; an empty list comes with a 200 too."""
    if len(lines) > 1:
        return bad_reply(reply, "bytes after the end of the answer")
    raw = bytes(lines[0].embeddings)
    trouble = vectors_trouble(raw, expected=1)
    if trouble:
        return bad_reply(reply, trouble)
    return _success(reply, lines[0], "", "stop", embeddings=msgspec.Raw(raw))


def loaded(attempt: Attempt, reply: HttpReply, last: _Line) -> Success:
    """The success of a preload or an unload."""
    return _success(reply, last, "", "unload" if attempt.purpose == "unload" else "load")


def _ended(
    attempt: Attempt, reply: HttpReply, last: _Line, text: str, thinking: str, logprobs: msgspec.Raw | None
) -> Success | Failure:
    """Judge an answer that came to its end."""
    if attempt.purpose in ("preload", "unload"):
        return loaded(attempt, reply, last)
    if last.done_reason in ("load", "unload"):  # what a server says to an empty prompt, and we send none
        return bad_reply(reply, "the server only loaded the model and gave no answer")
    if text in _APOLOGIES:
        return bad_reply(reply, "the gateway says in place of an answer that it got none")
    reason = finish_reason(last.done_reason or "")
    return _success(reply, last, text, reason, thinking=thinking or None, logprobs=logprobs)


def _unfinished(reply: HttpReply, ends: int, pieces: list[str]) -> Failure:
    if ends:
        return bad_reply(reply, "bytes after the end of the answer")
    return bad_reply(reply, "the answer ends without done", repeated=repeats(pieces))


def _success(
    reply: HttpReply,
    last: _Line,
    text: str,
    reason: str,
    *,
    thinking: str | None = None,
    embeddings: msgspec.Raw | None = None,
    logprobs: msgspec.Raw | None = None,
) -> Success:
    return Success(
        text=text,
        finish_reason=reason,
        usage=Usage(count(last.prompt_eval_count), count(last.eval_count)),
        timing=Timing(
            latency_s=reply.latency_s,
            ttft_s=reply.ttft_s,
            load_s=seconds(last.load_duration),
            prefill_s=seconds(last.prompt_eval_duration),
            decode_s=seconds(last.eval_duration),
            total_s=seconds(last.total_duration),
        ),
        model=last.model or "",
        thinking=thinking,
        embeddings=embeddings,
        logprobs=logprobs,
    )
