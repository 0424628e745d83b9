"""Prompt tokens: characters to tokens of one unit, corrected by the server's own counts."""

from __future__ import annotations

CHARS_PER_TOKEN = 3.0
"""Characters a token before any count: below English prose (4 to 5), so that a first guess is not too low there.

132 prompts in several languages had 3.4 in the median with SmolLM2's tokenizer, Asian scripts 0.5 to 1.
"""

CHARS_PER_TOKEN_LEAST = 0.25
"""Four tokens a character: rare scripts written byte by byte, and no nonsense count below."""

CHARS_PER_TOKEN_MOST = 20.0
"""Nothing readable packs more into a token."""

OVERHEAD_MOST_TOKENS = 64.0
"""What a chat template and its default system prompt add at most; more is the text's own density."""

PRIOR_CHARS2 = 160_000.0
"""Weight of the first guess of the slope: as four prompts that lie 200 characters from the mean."""


class PromptTokens:
    """A line ``tokens = overhead + chars / chars_per_token`` through all counts of one unit.

    The template's tokens are kept apart, or short prompts would make long ones look several times
    longer than they are. Running sums only: nothing grows with the answers.
    """

    __slots__ = ("_chars", "_chars2", "_count", "_product", "_tokens", "chars_per_token", "overhead_tokens")

    def __init__(self) -> None:
        self.chars_per_token = CHARS_PER_TOKEN
        self.overhead_tokens = 0.0
        self._count = 0
        self._chars = 0.0  # means, and centred sums of squares and products (Welford)
        self._tokens = 0.0
        self._chars2 = 0.0
        self._product = 0.0

    def estimate(self, chars: int) -> float:
        """Tokens of a prompt of so many characters, template included; a mean, without margin."""
        return self.overhead_tokens + chars / self.chars_per_token

    def observe(self, chars: int, tokens: int) -> None:
        """Learn one count: the server read ``tokens`` where we sent ``chars``."""
        if chars <= 0 or tokens <= 0:
            return
        self._count += 1
        off = chars - self._chars
        self._chars += off / self._count
        self._tokens += (tokens - self._tokens) / self._count
        self._chars2 += off * (chars - self._chars)
        self._product += off * (tokens - self._tokens)
        slope = (self._product + PRIOR_CHARS2 / CHARS_PER_TOKEN) / (self._chars2 + PRIOR_CHARS2)
        # Prompts of one size cannot tell overhead from density; what a template cannot be is density.
        apart = min(max(self._tokens - slope * self._chars, 0.0), OVERHEAD_MOST_TOKENS, self._tokens)
        density = max((self._tokens - apart) / self._chars, 1e-9)
        self.overhead_tokens = apart
        self.chars_per_token = min(max(1.0 / density, CHARS_PER_TOKEN_LEAST), CHARS_PER_TOKEN_MOST)
