"""Discover: what an instance is, by its answers."""

from __future__ import annotations

import pytest
from desk import MISTRAL, failure

from arriero.core import discover
from arriero.core.instance import Instance
from arriero.core.member import Member, Phase
from arriero.core.outcome import FailureKind, Model, Observation
from arriero.core.request import Attempt, Timeouts

NOT_FOUND = failure(FailureKind.REJECTED, status=404)


def joining(**fields):
    return Member(Instance(name="a", url="http://a", **fields), 1)


def ask(member, *outcomes):
    """Answer the questions in turn; the questions that were asked."""
    asked = []
    for outcome in outcomes:
        dialect, step = discover.question(member)
        asked.append((dialect, step.subject))
        attempt = Attempt(
            id=1, instance="a", purpose="discover", subject=step.subject, backend=dialect, timeouts=Timeouts(1, 1, 1)
        )
        assert discover.answered(member, attempt, outcome)
    return asked


def models(*names):
    return Observation(subject="models", models=tuple(Model(name=name) for name in names), latency_s=0.01)


VERSION = Observation(subject="version", version="0.33.0", latency_s=0.02)


def test_an_ollama_server_tells_version_and_models():
    member = joining()

    assert ask(member, VERSION, models("mistral:7b")) == [("ollama", "version"), ("ollama", "models")]
    assert (member.phase, member.backend, member.kind) == (Phase.READY, "ollama", "server")
    assert member.rtt_s == 0.01
    assert member.has("mistral:7b")
    assert not member.has("phi3")


def test_an_openai_server_tells_models_only():
    member = joining()
    ask(member, NOT_FOUND, models("gpt"))

    assert (member.backend, member.kind) == ("openai", "server")


def test_what_answers_but_lists_nothing_is_a_gateway():
    member = joining()
    ask(member, NOT_FOUND, NOT_FOUND, NOT_FOUND)

    assert (member.phase, member.backend, member.kind) == (Phase.READY, "ollama", "gateway")
    assert member.health.gateway
    assert member.has("anything")


@pytest.mark.parametrize("kind", [FailureKind.UNREACHABLE, FailureKind.TIMEOUT, FailureKind.UNAUTHORIZED])
def test_no_answer_leaves_the_question_open(kind):
    member = joining()
    dialect, step = discover.question(member)
    attempt = Attempt(
        id=1, instance="a", purpose="discover", subject=step.subject, backend=dialect, timeouts=Timeouts(1, 1, 1)
    )

    assert not discover.answered(member, attempt, failure(kind))
    assert discover.question(member) == (dialect, step)
    assert member.phase is Phase.JOINING


def test_a_name_without_a_tag_means_latest():
    member = joining()
    ask(member, VERSION, models("llama3:latest"))

    assert member.has("llama3")
    assert member.model("llama3").name == "llama3:latest"


def test_details_add_capabilities_and_keep_the_digest():
    member = joining()
    ask(member, VERSION, Observation(subject="models", models=(Model(name="mistral:7b", digest="d"),)))
    detail = Model(name="mistral:7b", capabilities=("completion",), context_tokens=32768)
    attempt = Attempt(
        id=1, instance="a", purpose="discover", subject="details", unit=MISTRAL, timeouts=Timeouts(1, 1, 1)
    )
    discover.told(member, attempt, Observation(subject="details", models=(detail,)))

    assert member.models["mistral:7b"].digest == "d"
    assert member.models["mistral:7b"].capabilities == ("completion",)
    assert member.blind(MISTRAL)


def test_the_context_is_what_the_resident_unit_has():
    member = joining()
    attempt = Attempt(
        id=1, instance="a", purpose="discover", subject="resident", unit=MISTRAL, timeouts=Timeouts(1, 1, 1)
    )
    resident = (Model(name="mistral:7b", context_tokens=8192), Model(name="other", context_tokens=1))
    discover.told(member, attempt, Observation(subject="resident", models=resident))

    assert member.contexts == {MISTRAL: 8192}

    again = (Model(name="mistral:7b", context_tokens=4096),)
    discover.told(member, attempt, Observation(subject="resident", models=again))
    assert member.contexts == {MISTRAL: 4096}, "it was loaded again with another"


def test_a_model_that_is_resident_under_another_name_is_known_by_its_digest():
    member = joining()
    listed = Observation(subject="models", models=(Model(name="mistral:7b", digest="d"), Model(name="b", digest="e")))
    ask(member, VERSION, listed)
    attempt = Attempt(
        id=1, instance="a", purpose="discover", subject="resident", unit=MISTRAL, timeouts=Timeouts(1, 1, 1)
    )
    for digest, context_tokens in (("", 1), ("e", 2), ("d", 512)):
        other = Model(name="copy", digest=digest, context_tokens=context_tokens)
        discover.told(member, attempt, Observation(subject="resident", models=(other,)))
        assert member.contexts == ({MISTRAL: 512} if digest == "d" else {})
