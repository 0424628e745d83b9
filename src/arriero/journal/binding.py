"""Binding: what a batch may not change between two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from arriero.errors import BindingError

SHOWN_CHARS = 80

SAID = ("prompt", "system")
"""Names whose values are words to a model, and never stand in a message."""


def compare(journal: Path, kept: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Accept only the same names with the same values.

    Args:
        journal: For the message.
        kept: What the journal's batch is bound to.
        given: What it is run with now.

    Raises:
        BindingError: If a value differs, is new or is gone; it lists each with the old and the new one.
    """
    changed = [name for name in sorted({*kept, *given}) if kept.get(name) != given.get(name)]
    if not changed:
        return
    lines = [f"  {name}: was {_shown(name, kept.get(name))}, is {_shown(name, given.get(name))}" for name in changed]
    raise BindingError(
        "\n".join([f"The journal {journal} belongs to another batch; changed:", *lines]),
        hint="change it back, name another output, or run with --force to move the old output and journal aside",
    )


def _shown(name: str, value: str | None) -> str:
    """A short value as it is; a long one, and what is said to a model, as a hash (P12)."""
    if value is None:
        return "not set"
    if not value:
        return "empty"
    if len(value) <= SHOWN_CHARS and value.isprintable() and name not in SAID:
        return value
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{len(value)} characters with hash {digest}"
