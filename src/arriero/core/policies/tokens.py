"""Prompt tokens: characters to tokens of one unit, corrected by the server's own counts."""

from __future__ import annotations

import msgspec

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


class PromptTokens(msgspec.Struct, gc=False):
    """A line ``tokens = overhead_tokens + chars / chars_per_token`` through all counts of one unit.

    The template's tokens are kept apart, or short prompts would make long ones look several times
    longer than they are. Running sums only: nothing grows with the answers.

    Attributes:
        chars_per_token: Characters a token.
        overhead_tokens: What the template adds.
        count: Prompts counted.
        chars: Mean characters of a prompt.
        tokens: Mean tokens of a prompt.
        chars2: Centred sum of squares of the characters (Welford).
        product: Centred sum of the products of characters and tokens.
    """

    chars_per_token: float = CHARS_PER_TOKEN
    overhead_tokens: float = 0.0
    count: int = 0
    chars: float = 0.0
    tokens: float = 0.0
    chars2: float = 0.0
    product: float = 0.0

    def estimate(self, chars: int) -> float:
        """Tokens of a prompt of so many characters, template included; a mean, without margin."""
        return self.overhead_tokens + chars / self.chars_per_token

    def observe(self, chars: int, tokens: int) -> None:
        """Learn one count: the server read ``tokens`` where we sent ``chars``."""
        if chars <= 0 or tokens <= 0:
            return
        self.count += 1
        off = chars - self.chars
        self.chars += off / self.count
        self.tokens += (tokens - self.tokens) / self.count
        self.chars2 += off * (chars - self.chars)
        self.product += off * (tokens - self.tokens)
        slope = (self.product + PRIOR_CHARS2 / CHARS_PER_TOKEN) / (self.chars2 + PRIOR_CHARS2)
        # Prompts of one size cannot tell overhead from density; what a template cannot be is density.
        apart = min(max(self.tokens - slope * self.chars, 0.0), OVERHEAD_MOST_TOKENS, self.tokens)
        density = max((self.tokens - apart) / self.chars, 1e-9)
        self.overhead_tokens = apart
        self.chars_per_token = min(max(1.0 / density, CHARS_PER_TOKEN_LEAST), CHARS_PER_TOKEN_MOST)
