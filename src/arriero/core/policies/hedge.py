"""Hedge: whether a second attempt is started beside a slow one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from arriero.core.instance import Instance
from arriero.core.request import Attempt

Hedge: TypeAlias = Callable[[Attempt, Instance, float], bool]
"""``hedge(running, instance, now)``: whether ``running`` gets a second attempt on a free slot of ``instance``.

Asked only when nothing better waits for that slot, the request has one attempt running and ``instance``
is not where it runs; ``now`` is monotonic seconds. With ``never`` as the only policy nothing asks yet.
"""


def never(running: Attempt, instance: Instance, now: float) -> bool:  # noqa: ARG001 - the interface of every hedge
    """No attempt gets a second one beside it; also the only choice where answers are paid for."""
    return False
