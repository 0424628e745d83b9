"""Drive an engine by hand in a test: attempts to start, and what comes of them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from typing import Any

from arriero.client.loop import step
from arriero.core.events import AttemptBegan, AttemptEnded, Event
from arriero.core.outcome import Failure, Outcome, Success
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit
from arriero.drive import Engine

MODEL = "mistral:7b"
PATIENT = Timeouts(first_byte_s=30.0, idle_s=30.0, total_s=60.0)
SESSION = "0123456789ab"
LIMIT_S = 15.0
"""A scenario that waits longer has failed; uvloop does not see the signal of pytest-timeout while it waits."""


def looped(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an ``async def`` test on a loop of its own; an argument may bring a ``loop_factory``, or be ``stepped``."""

    @functools.wraps(scenario)
    def test(*args: Any, **kwargs: Any) -> None:
        if any(getattr(value, "stepped", False) for value in kwargs.values()):
            step(scenario(*args, **kwargs))
            return
        factories = (getattr(value, "loop_factory", None) for value in kwargs.values())
        with asyncio.Runner(loop_factory=next(filter(None, factories), None)) as runner:
            runner.run(limited(*args, **kwargs))

    async def limited(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(LIMIT_S):
            await scenario(*args, **kwargs)

    return test


def attempt(
    number: int,
    *,
    instance: str = "fake",
    backend: str = "ollama",
    prompt: str = "",
    timeouts: Timeouts = PATIENT,
    options: tuple[tuple[str, int], ...] = (),
    content: Content | None = None,
    **fields: Any,
) -> Attempt:
    """An attempt for a row with this prompt; ``fields`` are others of ``Attempt``."""
    unit = fields.pop("unit", Unit(MODEL, options))
    said = content or Content(prompt=prompt or f"prompt {number}")
    row = Request(batch=1, position=number, line=number + 1, id=str(number), content=said, unit=unit)
    defaults: dict[str, Any] = {"max_tokens": 64, "request": row, "unit": unit}
    return Attempt(id=number, instance=instance, backend=backend, timeouts=timeouts, **{**defaults, **fields})


async def events_until(engine: Engine, n_ends: int) -> list[Event]:
    """Events until that many attempts have ended."""
    events: list[Event] = []
    while sum(isinstance(event, AttemptEnded) for event in events) < n_ends:
        events.extend(await engine.wait(inf))
    return events


async def until_begun(engine: Engine, n_begun: int = 1) -> list[Event]:
    """Events until that many attempts have begun."""
    events: list[Event] = []
    while sum(isinstance(event, AttemptBegan) for event in events) < n_begun:
        events.extend(await engine.wait(inf))
    return events


async def outcomes(engine: Engine, attempts: Sequence[Attempt]) -> dict[int, Outcome]:
    """Start attempts and wait for all their ends; outcome by attempt."""
    for one in attempts:
        engine.start(one)
    return ended(await events_until(engine, len(attempts)))


async def outcome(engine: Engine, one: Attempt) -> Outcome:
    """Start one attempt and wait for its end."""
    return (await outcomes(engine, [one]))[one.id]


def ended(events: Sequence[Event]) -> dict[int, Outcome]:
    """Outcome by attempt; an attempt that ended twice fails the test."""
    found: dict[int, Outcome] = {}
    for event in events:
        if isinstance(event, AttemptEnded):
            assert event.attempt not in found, f"attempt {event.attempt} ended twice"
            found[event.attempt] = event.outcome
    return found


def text(one: Outcome) -> str:
    """The answer of a success; anything else fails the test."""
    assert isinstance(one, Success), one
    return one.text


def failure(one: Outcome) -> Failure:
    """The failure; anything else fails the test."""
    assert isinstance(one, Failure), one
    return one
