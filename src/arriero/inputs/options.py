"""Options: what ``-O`` and a row's ``options`` mean: runner options, sampling, ``num_predict``, ``think``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arriero.core.request import RUNNER_OPTIONS, Scalar
from arriero.inputs.row import BadLineError

NUM_CTX_STEP = 256
"""Newer servers round ``num_ctx`` up to a multiple of it; two values in one step would look like two units."""


class BoundOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options sorted by who reads them.

    Attributes:
        runner: For the unit: sorted by name, ``num_ctx`` a multiple of 256.
        sampling: Everything else, as given, for the request.
        max_tokens: ``num_predict`` if it is a bound; None without one.
        think: As given; None if not.
        rounded: ``num_ctx`` before and after rounding, if it changed.
    """

    runner: tuple[tuple[str, Scalar], ...] = ()
    sampling: dict[str, object] = {}
    max_tokens: int | None = None
    think: bool | str | None = None
    rounded: tuple[int, int] | None = None


def bound_options(options: Mapping[str, object]) -> BoundOptions:
    """Sort options by who reads them.

    Args:
        options: By their Ollama names; ``think`` may be among them.

    Raises:
        BadLineError: If a runner option, ``num_predict`` or ``think`` has a value no server takes.
    """
    runner: list[tuple[str, Scalar]] = []
    sampling: dict[str, object] = {}
    max_tokens: int | None = None
    think: bool | str | None = None
    rounded: tuple[int, int] | None = None
    for name, value in options.items():
        if name in RUNNER_OPTIONS:
            scalar = _runner(name, value)
            if name == "num_ctx" and isinstance(value, int) and value != scalar:
                rounded = (value, int(scalar))
            runner.append((name, scalar))
        elif name == "num_predict":
            max_tokens = _num_predict(value)
        elif name == "think":
            think = _think(value)
        else:
            sampling[name] = value
    return BoundOptions(
        runner=tuple(sorted(runner)), sampling=sampling, max_tokens=max_tokens, think=think, rounded=rounded
    )


def _runner(name: str, value: object) -> Scalar:
    if name == "use_mmap":
        if not isinstance(value, bool):
            raise BadLineError("options: use_mmap must be true or false", field="options")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadLineError(f"options: {name} must be a whole number", field="options")
    if name == "num_ctx":
        if value < 1:
            raise BadLineError("options: num_ctx must be positive", field="options")
        return -(-value // NUM_CTX_STEP) * NUM_CTX_STEP
    return value


def _num_predict(value: object) -> int | None:
    """Ollama's -1 and -2 mean no bound; 0 means an answer without end on a real server."""
    if isinstance(value, bool) or not isinstance(value, int) or value == 0 or value < -2:  # noqa: PLR2004
        raise BadLineError("options: num_predict must be positive, or -1 for no bound", field="options")
    return value if value > 0 else None


def _think(value: object) -> bool | str | None:
    if value is not None and not isinstance(value, bool | str):
        raise BadLineError("options: think must be true, false or a level", field="options")
    return value
