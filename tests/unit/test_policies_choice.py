"""Models and hedge: the first, simple policies behind their final interfaces."""

from __future__ import annotations

from arriero.core.instance import Instance
from arriero.core.policies.hedge import Hedge, never
from arriero.core.policies.models import one
from arriero.core.request import Attempt, Timeouts, Unit

INSTANCE = Instance(name="a", url="http://a")


def test_the_rows_own_model_goes_before_the_batchs():
    options = (("num_ctx", 4096),)

    assert one("llama3:8b", "mistral:7b", options) == Unit("llama3:8b", options)
    assert one("", "mistral:7b", options) == Unit("mistral:7b", options)


def test_without_hedging_no_attempt_gets_a_second_one_beside_it():
    hedge: Hedge = never
    attempt = Attempt(id=1, instance="a", timeouts=Timeouts(1.0, 1.0, 1.0))

    assert not hedge(attempt, INSTANCE, 1e9)
