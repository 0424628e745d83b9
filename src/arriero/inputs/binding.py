"""binding(): what a journal is bound to, beside the rows; changed, a resume is refused."""

from __future__ import annotations

import hashlib

import msgspec

from arriero.config.settings import Settings
from arriero.core.request import CHAT
from arriero.inputs.options import bound_options

VALUE_CHARS_MAX = 64
"""A longer value is kept as its hash: a prompt template may hold what nobody should read in a journal's header."""


def binding(settings: Settings) -> dict[str, str]:
    """Settings that decide answers, by their flag's word, in one canonical spelling each.

    Args:
        settings: Checked settings; ``num_ctx`` counts as rounded, so that 4000 and 4096 are equal.

    Returns:
        Flag words to values. Not among them: fleet, ``-c``, engine, retries, timeouts, display, ``--on-bad-line``
        (a run that stopped at a bad line goes on with ``fail``), ``--first``.

    Raises:
        BadLineError: Never for settings a ``Binder`` was made of.
    """
    bound = bound_options(settings.options)
    options = {**bound.sampling, **dict(bound.runner)}
    if bound.max_tokens is not None:
        options["num_predict"] = bound.max_tokens
    think = settings.think if settings.think is not None else bound.think
    values: dict[str, object] = {
        "input-format": settings.input_format,
        "prompt": settings.prompt,
        "system": settings.system,
        "model": list(settings.models),
        "options": options,
        "endpoint": settings.endpoint or CHAT,
        "think": think,
    }
    if settings.function:
        values["backend"] = settings.function
    return {name: _spelled(value) for name, value in values.items()}


def _spelled(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif value is None or value in ([], {}):
        return ""
    else:
        text = msgspec.json.encode(value, order="sorted").decode()
    if len(text) <= VALUE_CHARS_MAX:
        return text
    return "blake2b:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
