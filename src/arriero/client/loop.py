"""Loop: runs a coroutine on an event loop of its own, uvloop where there is one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger("asyncio")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run it to its end in this thread, which must not run a loop already."""
    if sys.platform == "win32":
        return asyncio.run(_quietly(main))
    import uvloop  # noqa: PLC0415 - there is none on Windows

    return uvloop.run(_quietly(main))


async def _quietly(main: Coroutine[Any, Any, _T]) -> _T:
    asyncio.get_running_loop().set_exception_handler(_tell_type)
    return await main


def _tell_type(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what nobody has caught by its type: asyncio would add its text and objects, which may hold prompts (P12)."""
    error = context.get("exception")
    _log.error("unexpected %s on the event loop", type(error).__name__ if error else "state")
