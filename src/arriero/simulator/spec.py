"""Spec: what one simulated server is, and what a request truly costs there."""

from __future__ import annotations

from typing import Literal

import msgspec

from arriero.core.request import BatchId, Request, Unit


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One server.

    Attributes:
        name: Unique in the world; an instance of the same name reaches it.
        slots: Requests that decode side by side.
        token_s: Seconds an output token takes while one decodes alone.
        fill: Each further one slows every one by this share (as ``core/policies/speed.py`` assumes).
        prefill_tokens_per_s: Prompt tokens read a second; one prompt at a time, first come first served.
        load_s: Seconds to load a unit.
        models: Names installed.
        context_tokens: Context of a unit that names no ``num_ctx``.
        capabilities: What every model here can.
        dialect: ``ollama`` holds one unit at a time and loads; ``openai`` serves all its models at once, tells no timings.
        timings: Whether answers carry the server's own durations.
        old: Ollama up to 0.24: a prompt being read is read to its end although its client has gone.
        unloadable: Every model is installed, but none can be loaded here.
        rtt_s: Round trip between us and it.
        hidden: Servers behind it; with any it is a gateway that deals in turn and lists nothing.
        generate_only: A gateway that serves nothing but ``/api/generate``.
    """

    name: str
    slots: int = 4
    token_s: float = 0.02
    fill: float = 0.1
    prefill_tokens_per_s: float = 2000.0
    load_s: float = 3.0
    models: tuple[str, ...] = ("mistral:7b",)
    context_tokens: int = 4096
    capabilities: tuple[str, ...] = ("completion",)
    dialect: Literal["ollama", "openai"] = "ollama"
    timings: bool = True
    old: bool = False
    unloadable: bool = False
    rtt_s: float = 0.02
    hidden: tuple[ServerSpec, ...] = ()
    generate_only: bool = False

    def context_of(self, unit: Unit) -> int:
        """Context tokens of a unit here."""
        wanted = dict(unit.options).get("num_ctx")
        return int(wanted) if wanted is not None and self.dialect == "ollama" else self.context_tokens

    def work_rate(self) -> float:
        """Output tokens a second with every slot taken."""
        return self.slots / (self.token_s * (1.0 + self.fill * (self.slots - 1)))


class Truth(msgspec.Struct, frozen=True, gc=False):
    """What a request really is; the scheduler is never told.

    Attributes:
        prompt_tokens: Tokens of its prompt.
        output_tokens: Tokens of its answer if nothing cuts it.
        poison: The model process goes down when it is started.
        stubborn: Every server answers it with an error.
        formless: Half of its answers do not have the form that was asked for.
        refused: Every server says that it is wrong.
        repeats: Every server gives it up because the same token comes again and again.
    """

    prompt_tokens: int
    output_tokens: int
    poison: bool = False
    stubborn: bool = False
    formless: bool = False
    repeats: bool = False
    refused: bool = False


Truths = dict[tuple[BatchId, int], Truth]
"""By (batch, position)."""


def answer(request: Request) -> str:
    """The one right answer to a request."""
    return f"answer to {request.batch}:{request.position}"
