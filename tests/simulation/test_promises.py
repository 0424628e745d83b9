"""Every promise of the core holds in seeded worlds, every invariant looked at after every step.

A failing seed prints the line that does it again: ``ARRIERO_SEED=123 python -m pytest tests/simulation/test_promises.py -x``.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import get_args, get_type_hints

import pytest
from branches import UNTAKEN, Branches, place
from worlds import CHOSEN, Lived, chosen, live_seed

from arriero.core.events import Away, BatchClosed, BatchOpened, Event, InstanceChanged, Notice
from arriero.core.outcome import FailureKind
from arriero.core.request import TRANSITIONS, Purpose
from arriero.simulator.fault import FAULT_KINDS
from arriero.simulator.mishaps import KINDS
from arriero.simulator.session import End

WORLDS_A_KIND = 16
MORE_WORLDS_A_KIND = 80

COUNTED_A_KIND = 6
"""In so many worlds of each kind the branches of the policies are counted, which makes them three times as slow."""

COUNTED_WHOLE = ("chaos", "gateway", "openai")
"""Kinds of which all worlds are counted: they alone take some branches, and only at times."""

UNSEEN = (Away, BatchOpened, BatchClosed)
"""Events that the scheduler is told by whoever runs the loop, and observers are not."""

ENDS_ONLY = (FailureKind.POISON, FailureKind.EXPIRED)
"""Kinds that end requests and no attempt."""

NO_END = (FailureKind.LOST, FailureKind.UNAUTHORIZED, FailureKind.REDIRECTED)
"""Kinds that are never a request's fault and so never its end."""

MET = (
    *(f"fault {kind}" for kind in FAULT_KINDS),
    *(f"fault {kind}" for kind in ("poison", "stubborn", "overrun", "load given up", "gap", "our crash", "new round")),
    *(f"fault {name}" for name in ("Drained", "Aborted", "BatchCancelled", "Paused", "Unpaused", "LimitSet")),
    *("fault InstanceJoined", "fault InstanceLeft", "sink full", "cancel", "redone after a crash"),
    *(f"fault {flaw}" for flaw in ("formless", "repeats", "refused", "less wanted", "unloadable")),
    *(f"{was} -> {to}" for was, allowed in TRANSITIONS.items() for to in allowed),
    *(notice.__name__ for notice in get_args(Notice)),
    *(event.__name__ for event in get_args(Event) if event not in UNSEEN),
    *(f"instance {state}" for state in get_args(get_type_hints(InstanceChanged)["state"])),
    *(f"noted {code}" for code in ("context_unknown", "generate_only", "truncation_possible", "late")),
    "noted replies_in_one_piece",
    *(f"purpose {purpose}" for purpose in get_args(Purpose)),
    *("charged", "not charged", "refunds kept over a crash", "succeeded"),
    *(f"request {kind}" for kind in FailureKind if kind not in ENDS_ONLY),
    *(f"ended {kind}" for kind in FailureKind if kind not in NO_END),
    *(f"session {end}" for end in get_args(End)),
)
"""What the worlds together must have been through; a zero means that something is no longer tried."""


@pytest.fixture(scope="module")
def lived() -> Lived:
    """What all worlds of this run have been through."""
    return Lived()


@pytest.fixture(scope="module")
def branches() -> Branches:
    """The branches that the first worlds of each kind have taken."""
    return Branches()


def whole(lived: Lived) -> None:
    """Skip unless all worlds were run in this process."""
    if CHOSEN in os.environ or lived["worlds"] < WORLDS_A_KIND * len(KINDS):
        pytest.skip(f"only {lived['worlds']} worlds were run")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_holds_in_worlds_of(kind: str, lived: Lived, branches: Branches):
    for seed in chosen(range(KINDS.index(kind), WORLDS_A_KIND * len(KINDS), len(KINDS))):
        counted = kind in COUNTED_WHOLE or seed < COUNTED_A_KIND * len(KINDS)
        with branches.counted() if counted else nullcontext():
            lived.update(live_seed(seed))
        lived["worlds"] += 1


def test_the_worlds_have_been_through_every_fault_transition_and_notice(lived: Lived):
    whole(lived)

    missing = [what for what in MET if not lived[what]]

    assert not missing, f"no world has been through: {missing}"


def test_the_worlds_have_taken_every_branch_of_the_policies(lived: Lived, branches: Branches):
    whole(lived)
    if not branches.watched:
        pytest.skip("something else traces this process, so that branches cannot be counted")

    missing = [branch for branch in branches.missing() if place(branch) not in UNTAKEN]

    assert not missing, "no world takes:\n" + "\n".join(missing)


def test_the_same_seed_makes_the_same_plans():
    for seed in range(0, len(KINDS), 2):
        first = live_seed(seed)

        assert live_seed(seed).plans == first.plans, f"seed {seed} was decided otherwise the second time"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_holds_in_many_more_worlds_of(kind: str):
    least, most = WORLDS_A_KIND * len(KINDS), MORE_WORLDS_A_KIND * len(KINDS)
    for seed in range(least + KINDS.index(kind), most, len(KINDS)):
        live_seed(seed)
