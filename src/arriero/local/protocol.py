"""ChildOptions and ChildReady: what the parent and the child process say to each other."""

from __future__ import annotations

import msgspec


class ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told on its command line.

    Attributes:
        model: Path of a GGUF file.
        name: What ``/v1/models`` calls it.
        slots: Requests served at a time.
        context_tokens: Prompt and answer of one request, at most.
        threads: Of the engine. As many as cores collapse as soon as one other process is busy: they wait for each
            other in a busy loop (``docs/decisions/0002-local-model.md``).
        cache_mib: Memory for the caches of prompts that were seen before.
    """

    model: str
    name: str
    slots: int
    context_tokens: int
    threads: int
    cache_mib: int = 256


class ChildReady(msgspec.Struct, frozen=True, kw_only=True):
    """The one line the child writes: the base URL it serves."""

    url: str
