"""Dialects: the table of backends by name."""

from __future__ import annotations

from arriero.backends.ollama import Ollama
from arriero.backends.openai import OpenAI
from arriero.backends.wire import Backend


def backend(name: str) -> Backend:
    """The backend of a dialect.

    Args:
        name: ``ollama`` or ``openai``; ``auto`` is settled by discovery before anything is sent.

    Raises:
        ValueError: If there is no such dialect.
    """
    match name:
        case "ollama":
            return Ollama()
        case "openai":
            return OpenAI()
        case _:
            raise ValueError(f"no dialect is called {name!r}; there are: ollama, openai")
