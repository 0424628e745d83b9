"""Models: which unit serves a request."""

from __future__ import annotations

from arriero.core.request import Scalar, Unit


def one(own_model: str, default_model: str, options: tuple[tuple[str, Scalar], ...]) -> Unit:
    """The model that the row names, else the batch's own; runner options are the row's.

    Args:
        own_model: The row's own; ``""`` where it names none.
        default_model: Model of the batch, as the servers know it; ``""`` if it has none either.
        options: Runner options, sorted by name.

    Returns:
        The unit; its model is ``""`` only if neither names one.
    """
    return Unit(own_model or default_model, options)
