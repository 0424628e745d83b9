"""Next step: the command that helps after failures of one kind, if one does."""

from __future__ import annotations

import shlex

import msgspec

from arriero.client.batch import batch_words
from arriero.config.settings import Settings
from arriero.core.outcome import FailureKind

CONTEXT_TOKENS_LEAST = 8192
"""A larger context than most servers load by themselves."""

SHOWN_CHARS = 80
"""A longer system prompt or template is not repeated, but told to be given again."""

_HOPELESS = (FailureKind.REJECTED, FailureKind.UNSUPPORTED)
"""The request itself is wrong: the same once more would fail again."""


def next_step(kind: str, settings: Settings) -> str:
    """A command line, or two; ``""`` where only the row can be mended.

    Args:
        kind: Failure kind.
        settings: What the batch was last run with.
    """
    if kind in _HOPELESS:
        return ""
    words = batch_words(settings)
    if kind != FailureKind.TOO_LONG:
        return shlex.join(("arriero", "retry", *words, "--kind", kind))
    rows = shlex.join(("arriero", "results", *words, "--kind", kind, "--rows"))
    again = shlex.join(
        ("arriero", "run", "too-long.jsonl", "-o", "too-long.json", *_same(settings), *_larger(settings))
    )
    return f"{rows} > too-long.jsonl && {again}"


def _larger(settings: Settings) -> list[str]:
    now = settings.options.get("num_ctx")
    tokens = max(CONTEXT_TOKENS_LEAST, 2 * now if isinstance(now, int) else 0)
    return ["-O", f"num_ctx={tokens}"]


def _same(settings: Settings) -> list[str]:
    """The flags that bind a batch and those that name its fleet, as they were."""
    words = [word for model in settings.models for word in ("-m", model)]
    for flag, text in (("-s", settings.system), ("--prompt", settings.prompt)):
        if text is not None:
            words += [flag, text if len(text) <= SHOWN_CHARS else "@THE_SAME_AS_BEFORE"]
    for name, value in settings.options.items():
        if name != "num_ctx":
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            words += ["-O", f"{name}={said}"]
    words += ["--endpoint", settings.endpoint] if settings.endpoint else []
    words += ["--think", str(settings.think).lower()] if settings.think is not None else []
    return words + _fleet(settings)


def _fleet(settings: Settings) -> list[str]:
    if settings.local:
        return ["--local"]
    origin = settings.origins.get("instances", "")
    if origin == "-i":
        return [word for one in settings.instances for word in ("-i", one.instance.url)]
    return ["--fleet", origin] if origin.endswith(".toml") and origin != "arriero.toml" else []
