"""Models: which unit serves a request."""

from __future__ import annotations

import msgspec

from arriero.core.request import Request, Unit


def one(request: Request, default_model: str) -> Unit:
    """The model the row names, else the batch's own; runner options stay the row's.

    Args:
        request: The request, bound or not (``unit.model`` is ``""`` where the row names none).
        default_model: Model of the batch, as the servers know it; ``""`` if it has none either.

    Returns:
        The unit; its model is ``""`` only if neither names one.
    """
    if request.unit.model:
        return request.unit
    return msgspec.structs.replace(request.unit, model=default_model)
