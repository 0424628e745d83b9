"""Builds: which build of a model each instance serves, told apart by the digest that its listing names."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from arriero.core.events import Noted, Notice
from arriero.core.member import Member
from arriero.core.outcome import Observation, Outcome
from arriero.core.request import Unit


class Builds:
    """Says when the answers of a batch come from more than one build of a model.

    A server is asked again once it answers after an outage or a failed connection: whoever restarts it may have pulled the
    model anew.

    Args:
        tell: Takes the notices ``digest_changed`` and ``digest_differs``.
    """

    def __init__(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._first: dict[str, str] = {}

    def doubts(self, member: Member) -> bool:
        """Whether a listing could show another build than the one that was served: one server, which named a digest."""
        return member.single and member.ready_for is not None and bool(member.digest(member.ready_for))

    def ready(self, member: Member, unit: Unit, now: float) -> None:
        """A member serves a unit from now on; is it the build that the first instance served?"""
        digest = member.digest(unit)
        if digest and self._first.setdefault(unit.model, digest) != digest:
            self._tell(Noted("digest_differs", member.name, now))

    def listed(self, member: Member, outcome: Outcome, now: float) -> None:
        """A member has listed its models again: compare what is or was served there, and remember the new digests."""
        if not isinstance(outcome, Observation) or member.models is None:
            return
        served = [unit for unit in (member.ready_for, *member.paces) if unit is not None]
        before = {unit: member.digest(unit) for unit in served}
        for model in outcome.models:
            if (known := member.models.get(model.name)) is not None:
                member.models[model.name] = structs.replace(known, digest=model.digest)
        if any(digest and member.digest(unit) not in ("", digest) for unit, digest in before.items()):
            self._tell(Noted("digest_changed", member.name, now))
