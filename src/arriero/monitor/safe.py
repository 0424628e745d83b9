r"""Foreign text made safe for a terminal: controls are shown as ``\x1b``, never sent."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: cursor, clipboard, window title, line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls: text that reads as another text
    "\u2028\u2029"  # line and paragraph separators
    "\u200b\u2060\ufeff\U000e0000-\U000e007f"  # invisible: names that look equal
    "\ud800-\udfff"  # lone surrogates, which no stream can encode
    "]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def safe_text(text: str, *, chars: int | None = None) -> str:
    r"""Show foreign text on one line of a terminal.

    Model names, servers' texts, ids, file names and prompts go through here before a terminal sees them.

    Args:
        text: Any text at all.
        chars: Cut after this many characters and say ``...``; None for no cut. Counted before the escapes.

    Returns:
        The text with C0, C1, DEL, bidi controls, line separators and invisible characters written as ``\n``,
        ``\x1b`` or ``\u202e``; it may not be turned back, as a backslash in the text stays one.
    """
    if chars is not None and len(text) > chars:
        text = text[:chars] + "..."
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if code < 0x100:  # noqa: PLR2004 - two hexadecimal digits are enough
        return _SHORT.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - the basic plane ends there
