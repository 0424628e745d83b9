"""What the fake model says: a pure function of the prompt, so that a test can tell whose answer it holds."""

from __future__ import annotations

import hashlib
import math

WORDS = ("the", "llama", "walks", "over", "high", "passes", "with", "salt", "and", "wool", "until", "evening")

TEMPLATE_TOKENS = 10
"""Tokens a chat template adds around a turn."""

CHARS_A_TOKEN = 4


def prompt_hash(prompt: str) -> str:
    """Twelve hex digits of a prompt; the first token of every answer to it."""
    return hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def answer_tokens(prompt: str, n_tokens: int | None = None) -> list[str]:
    """The whole answer to a prompt, token by token: its hash, then 4 to 15 words drawn by the hash (or ``n_tokens``)."""
    mark = prompt_hash(prompt)
    seed = int(mark, 16)
    count = 5 + seed % 12 if n_tokens is None else n_tokens
    return [mark, *(f" {WORDS[(seed >> (i % 40)) % len(WORDS)]}" for i in range(1, count))][:count]


def answer(prompt: str, n_tokens: int | None = None) -> str:
    """The whole answer to a prompt."""
    return "".join(answer_tokens(prompt, n_tokens))


def json_tokens(prompt: str) -> list[str]:
    """The answer where JSON was asked for."""
    return ["{", '"answer": ', f'"{prompt_hash(prompt)}"', "}"]


def count_tokens(text: str, turns: int = 1) -> int:
    """Prompt tokens of a text with the template around its turns."""
    return math.ceil(len(text) / CHARS_A_TOKEN) + TEMPLATE_TOKENS * turns
