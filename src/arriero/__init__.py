"""Batch LLM inference over a fleet of Ollama and OpenAI-compatible servers.

``run`` carries out a file or a list and keeps every result; ``map`` answers an iterable of any length; ``Client`` streams
inside asyncio. Failures of requests are values; ``ArrieroError`` is for what keeps a batch from beginning or going on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arriero.errors import (
    ArrieroError,
    BindingError,
    ConfigError,
    FleetError,
    HeldError,
    InputError,
    OutputError,
    StorageError,
)

if TYPE_CHECKING:
    from arriero.client.answer import Answer as Answer
    from arriero.client.api import Batch as Batch
    from arriero.client.api import Client as Client
    from arriero.client.api import map as map  # noqa: A004 - it is the map of a fleet
    from arriero.client.api import run as run
    from arriero.engines.function import Prompt as Prompt

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "ArrieroError",
    "Batch",
    "BindingError",
    "Client",
    "ConfigError",
    "FleetError",
    "HeldError",
    "InputError",
    "OutputError",
    "Prompt",
    "StorageError",
    "__version__",
    "map",
    "run",
]


def __dir__() -> list[str]:
    """What there is, also what is not imported yet."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """Import what needs the whole machine only when it is asked for: ``arriero --version`` does not."""
    if name not in ("Answer", "Batch", "Client", "Prompt", "map", "run"):
        raise AttributeError(f"module 'arriero' has no attribute {name!r}")
    from arriero.client import answer, api  # noqa: PLC0415 - heavy
    from arriero.engines import function  # noqa: PLC0415 - the same

    return getattr({"Answer": answer, "Prompt": function}.get(name, api), name)
