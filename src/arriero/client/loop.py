"""Loop: runs a coroutine on an event loop of its own, uvloop where there is one; or without any."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from arriero.config.settings import EngineName

_T = TypeVar("_T")
_log = logging.getLogger("asyncio")


def run(main: Coroutine[Any, Any, _T], engine: EngineName = "asyncio") -> _T:
    """Run it to its end in this thread, which must not run a loop already.

    Args:
        main: What to run.
        engine: What its attempts are carried out by; that of threads needs no event loop.
    """
    if engine == "threads":
        return step(main)
    if sys.platform == "win32":
        return asyncio.run(_quietly(main))
    import uvloop  # noqa: PLC0415 - there is none on Windows

    return uvloop.run(_quietly(main))


def step(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never awaits what is not there yet, such as ``drive`` over the engine of threads.

    Raises:
        RuntimeError: If it needs an event loop after all.
    """
    try:
        main.send(None)
    except StopIteration as end:
        ended: _T = end.value
        return ended
    main.close()
    raise RuntimeError("this engine needs an event loop")


async def _quietly(main: Coroutine[Any, Any, _T]) -> _T:
    asyncio.get_running_loop().set_exception_handler(_tell_type)
    return await main


def _tell_type(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what nobody has caught by its type: asyncio would add its text and objects, which may hold prompts (P12)."""
    error = context.get("exception")
    _log.error("unexpected %s on the event loop", type(error).__name__ if error else "state")
