"""Predict: the estimates and speeds that other policies use, and the room a context leaves for an answer."""

from __future__ import annotations

from math import floor

from arriero.core.policies.lengths import Estimate, Group, Lengths
from arriero.core.policies.speed import Pace
from arriero.core.request import Request

__all__ = ["Estimate", "Group", "Lengths", "Pace", "room_tokens"]

CONTEXT_UNKNOWN_TOKENS = 2048
"""Output tokens at most where the context is unknown (``docs/decisions/0009-policies.md``)."""

ROOM_LEAST = 8
"""At least 1/8 of the context is offered: an answer cut by a wrong guess is lost, an overrun is seen and asked again."""

MARGIN_SHARE = 0.1
"""Safety margin on a prompt's estimate.

With 132 prompts in several languages and a real tokenizer true / estimate was 0.91 in the median and 1.35 at
the 90th percentile; the margin stays below that, because too much of it cuts answers (see ``ROOM_LEAST``).
"""

MARGIN_TOKENS = 32.0
"""Safety margin whatever the size: a chat template with its default system prompt (30 tokens for SmolLM2)."""


def room_tokens(context_tokens: int | None, request: Request, lengths: Lengths) -> tuple[int, bool]:
    """Output tokens to allow where the request names no number: what its prompt leaves of the context.

    Args:
        context_tokens: Context of the unit there; None if unknown.
        request: The request.
        lengths: What has been learned about prompts.

    Returns:
        The number, always positive (Ollama runs without end at 0), and whether the context is unknown.
    """
    if context_tokens is None:
        return CONTEXT_UNKNOWN_TOKENS, True
    prompt = lengths.prompt_tokens(request) * (1.0 + MARGIN_SHARE) + MARGIN_TOKENS
    return max(1, context_tokens // ROOM_LEAST, floor(context_tokens - prompt)), False
