"""Threads: loops of their own for callers that have none, or already run one."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, TypeVar

from arriero.client.answer import Answer
from arriero.client.loop import run
from arriero.client.stream import Streams
from arriero.client.stream_feed import UNREAD_ANSWERS
from arriero.config.settings import InstanceConfig, Settings
from arriero.inputs.sequence import Item
from arriero.local.server import LocalServer

_T = TypeVar("_T")


def serving(settings: Settings, stack: ExitStack) -> tuple[InstanceConfig, ...]:
    """The fleet of the settings; with ``local`` a server that is started, and stopped with the stack."""
    if not settings.local:
        return settings.instances
    return (InstanceConfig(instance=stack.enter_context(LocalServer()).instance()),)


def in_thread(work: Callable[[], _T], *, on_interrupt: Callable[[], None]) -> _T:
    """Do it in a thread of its own, because this one may already run a loop.

    Raises:
        BaseException: What the work raised.
    """
    ended: list[_T] = []
    raised: list[BaseException] = []

    def body() -> None:
        try:
            ended.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            raised.append(error)

    thread = threading.Thread(target=body, name="arriero-run")
    thread.start()
    interrupted = _join(thread, on_interrupt)
    if raised:
        raise raised[0]
    if interrupted is not None:
        raise interrupted
    return ended[0]


def _join(thread: threading.Thread, on_interrupt: Callable[[], None]) -> KeyboardInterrupt | None:
    interrupted: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as error:
            interrupted = error
            on_interrupt()
    return interrupted


def stream_in_thread(
    settings: Settings, items: Iterable[Item], journal: str | Path | None = None
) -> Iterator[tuple[int, Answer]]:
    """A stream carried by a loop in a thread; what is not read holds it back."""
    answers: queue.Queue[Any] = queue.Queue(UNREAD_ANSWERS)
    over = object()
    stopping = threading.Event()

    async def carry() -> None:
        with ExitStack() as stack:
            async with (
                Streams(settings, serving(settings, stack)) as streams,
                aclosing(streams.stream(items, ordered=True, journal=journal)) as stream,
            ):
                async for one in stream:
                    await _put(answers, one, stopping)
                    if stopping.is_set():
                        return

    def body() -> None:
        try:
            run(carry())
            answers.put(over)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            answers.put(error)

    thread = threading.Thread(target=body, name="arriero-map", daemon=True)
    thread.start()
    try:
        while (one := answers.get()) is not over:
            if isinstance(one, BaseException):
                raise one
            yield one
    finally:
        stopping.set()
        _make_room(answers)
        thread.join()


async def _put(answers: queue.Queue[Any], one: tuple[int, Answer], stopping: threading.Event) -> None:
    """Hand an answer over as soon as the reader has made room; not at all once it has left."""
    while not stopping.is_set():
        try:
            answers.put_nowait(one)
        except queue.Full:
            await asyncio.sleep(0.01)
        else:
            return


def _make_room(answers: queue.Queue[Any]) -> None:
    """Empty the queue, so that whoever waits to put the last word can."""
    while not answers.empty():
        answers.get_nowait()
