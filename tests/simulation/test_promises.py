"""Every promise of the core holds in seeded worlds, every invariant looked at after every step.

A failing seed prints the line that does it again: ``ARRIERO_SEED=123 python -m pytest tests/simulation/test_promises.py -x``.
"""

from __future__ import annotations

import os

import pytest
from worlds import CHOSEN, Lived, chosen, live_seed

from arriero.core.request import TRANSITIONS
from arriero.simulator.fault import FAULT_KINDS
from arriero.simulator.mishaps import KINDS

WORLDS_A_KIND = 60
MORE_WORLDS_A_KIND = 1500

MET = (
    *(f"fault {kind}" for kind in FAULT_KINDS),
    *(f"fault {kind}" for kind in ("poison", "stubborn", "overrun", "load given up", "gap", "our crash", "new round")),
    *(f"fault {name}" for name in ("Drained", "Aborted", "BatchCancelled", "Paused", "Unpaused", "LimitSet")),
    *("fault InstanceJoined", "fault InstanceLeft", "sink full", "cancel"),
    *(f"{was} -> {to}" for was, allowed in TRANSITIONS.items() for to in allowed),
    *("AttemptStarted", "AttemptFailed", "AttemptRefunded", "UpkeepEnded", "InstanceChanged", "FleetChanged", "Noted"),
    *(f"instance {state}" for state in ("joining", "loading", "ok", "ejected", "left")),
    *(f"noted {code}" for code in ("context_unknown", "generate_only", "truncation_possible", "late")),
    "noted replies_in_one_piece",
    *(f"purpose {purpose}" for purpose in ("request", "preload", "unload", "probe", "discover")),
    *("charged", "not charged", "refunds kept over a crash", "succeeded"),
    *(f"request {kind}" for kind in ("unreachable", "timeout", "overloaded", "server_error", "bad_reply", "too_long")),
    *(f"request {kind}" for kind in ("unauthorized", "lost", "cancelled")),
    *(
        f"ended {kind}"
        for kind in ("poison", "cancelled", "expired", "overloaded", "too_long", "model_missing", "server_error")
    ),
    *(f"session {end}" for end in ("finished", "stopped", "crashed")),
)
"""What the worlds together must have been through; a zero means that something is no longer tried."""


@pytest.fixture(scope="module")
def lived() -> Lived:
    """What all worlds of this run have been through."""
    return Lived()


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_holds_in_worlds_of(kind: str, lived: Lived):
    for seed in chosen(range(KINDS.index(kind), WORLDS_A_KIND * len(KINDS), len(KINDS))):
        lived.update(live_seed(seed))
        lived["worlds"] += 1


def test_the_worlds_have_been_through_every_fault_transition_and_notice(lived: Lived):
    if CHOSEN in os.environ or lived["worlds"] < WORLDS_A_KIND * len(KINDS):
        pytest.skip(f"only {lived['worlds']} worlds were run")

    assert [what for what in MET if not lived[what]] == []


def test_the_same_seed_makes_the_same_plans():
    for seed in range(len(KINDS)):
        first = live_seed(seed)

        assert live_seed(seed).plans == first.plans, f"seed {seed} was decided otherwise the second time"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_holds_in_many_more_worlds_of(kind: str):
    least, most = WORLDS_A_KIND * len(KINDS), MORE_WORLDS_A_KIND * len(KINDS)
    for seed in range(least + KINDS.index(kind), most, len(KINDS)):
        live_seed(seed)
