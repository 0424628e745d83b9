"""Function: a Python callable in the place of a server; one call is one attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from arriero.core.outcome import Failure, FailureKind, Outcome, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request
from arriero.engines.words import place

KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (TimeoutError, FailureKind.TIMEOUT),
    (OSError, FailureKind.UNREACHABLE),
    (Exception, FailureKind.SERVER_ERROR),
)
"""What an exception of the function means; the first row that fits. All of them are tried again."""


class Prompt(str):
    """What a function is given: the prompt, a ``str``, and what else the request says.

    Attributes:
        id: The row's id.
        model: The model it is for.
        messages: The whole chat as roles and contents, the system prompt first; ``prompt`` alone is one user turn.
        options: Sampling and runner options by their Ollama names.
        max_tokens: Output tokens at most.
    """

    __slots__ = ("id", "max_tokens", "messages", "model", "options")

    id: str
    model: str
    messages: list[dict[str, str]]
    options: Mapping[str, object]
    max_tokens: int

    @classmethod
    def of(cls, attempt: Attempt, request: Request) -> Prompt:
        """The prompt of a request; for a chat without one, the last user's turn."""
        content = request.content
        turns = _turns(content)
        said = content.prompt or next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
        prompt = cls(said)
        prompt.id = request.id
        prompt.model = request.unit.model
        prompt.messages = turns
        prompt.options = {**content.options, **dict(request.unit.options)}
        prompt.max_tokens = attempt.max_tokens
        return prompt


Function: TypeAlias = Callable[[Prompt], str]


def call(function: Function, attempt: Attempt) -> Outcome:
    """Carry an attempt out; what is no request costs no call: a function has nothing to list, to load or to unload.

    Args:
        function: Gives the answer; may block, and may be called in several threads at once.
        attempt: What is carried.

    Returns:
        The answer, or the failure that an exception means. Its text may hold a prompt and is not told (P12).
    """
    request = attempt.request
    if attempt.purpose == "discover":
        return Failure(kind=FailureKind.UNSUPPORTED, detail="a function lists no models", own=True)
    if request is None:
        return Success(text="", finish_reason="stop", usage=Usage(), timing=Timing(latency_s=0.0))
    prompt = Prompt.of(attempt, request)
    began = time.monotonic()
    try:
        text = function(prompt)
    except Exception as error:  # noqa: BLE001 - the user's code: whatever it raises is the end of this attempt
        kind = next(kind for raised, kind in KINDS if isinstance(error, raised))
        latency_s = time.monotonic() - began
        return Failure(kind=kind, detail=f"raised {type(error).__name__}{place(error)}", own=True, latency_s=latency_s)
    latency_s = time.monotonic() - began
    if not isinstance(text, str):
        detail = f"returned {type(text).__name__}, where a str is wanted"
        return Failure(kind=FailureKind.BAD_REPLY, detail=detail, own=True, latency_s=latency_s)
    return Success(
        text=text, finish_reason="stop", usage=Usage(), timing=Timing(latency_s=latency_s), model=prompt.model
    )


def _turns(content: Content) -> list[dict[str, str]]:
    system = [{"role": "system", "content": content.system}] if content.system else []
    turns = [{"role": turn.role, "content": turn.content} for turn in content.messages]
    return [*system, *(turns or [{"role": "user", "content": content.prompt}])]
