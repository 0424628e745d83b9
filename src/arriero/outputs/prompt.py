"""Prompt: what the output shows as the prompt of a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from arriero.inputs.row import BadLineError, BadRow, Row
from arriero.inputs.template import Template

Prompt: TypeAlias = Callable[[Row | BadRow], str | None]
"""Tells what was sent for a row."""


def prompt_of(row: Row | BadRow) -> str | None:
    """Without a template: the row's own prompt, else the text of its last user turn; None for a bad line."""
    if isinstance(row, BadRow):
        return None
    if row.prompt is not None or not row.messages:
        return row.prompt
    turns = [turn for turn in row.messages if turn.role == "user"] or row.messages
    return turns[-1].content


def templated(template: Template) -> Prompt:
    """With a template: what it made of the row, else as without one, for a row that it could not fill."""

    def prompt(row: Row | BadRow) -> str | None:
        if isinstance(row, BadRow):
            return None
        try:
            return template.render(row.fields)
        except BadLineError:
            return prompt_of(row)

    return prompt
