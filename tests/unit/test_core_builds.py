"""Builds: whoever restarts a server may have pulled another build of the model, and the batch says so."""

from __future__ import annotations

import pytest
from desk import LLAMA, MISTRAL, Desk, failure, row
from msgspec import structs

from arriero.core.events import Noted
from arriero.core.outcome import FailureKind, Model, Observation

NOT_ANSWERED = failure(FailureKind.SERVER_ERROR, status=500)


def listing(**digests):
    """A listing with these digests by short name."""
    names = {"mistral": MISTRAL.model, "llama": LLAMA.model}
    models = tuple(Model(name=names[short], digest=digest) for short, digest in digests.items())
    return Observation(subject="models", version="", models=models)


def notes(desk):
    return [(note.code, note.instance) for note in desk.notices if isinstance(note, Noted)]


def served_and_back(desk):
    """The first instance answers a request, goes out and comes back; the listing that it is asked for."""
    desk.add(*(row(position) for position in range(6)))
    desk.end(desk.requests("a")[0], desk.well(desk.requests("a")[0]))
    while not desk.member("a").health.ejected:
        desk.fail(desk.requests("a")[0], FailureKind.UNREACHABLE)
    desk.later(1.0)
    (probe,) = (one for one in desk.running.values() if one.purpose == "probe")
    desk.end(probe, desk.well(probe))
    (asked,) = (one for one in desk.running.values() if one.purpose == "discover")
    assert asked.subject == "models"
    return asked


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (listing(mistral="sha256:another"), [("digest_changed", "a")]),
        (listing(mistral="sha256:mistral:7b"), []),
        (listing(mistral="sha256:mistral:7b", llama="sha256:another"), []),
        (listing(mistral=""), []),
        (listing(), []),
        (NOT_ANSWERED, []),
    ],
    ids=["another-build", "the-same", "a-model-not-served", "no-digest", "not-listed", "not-answered"],
)
def test_an_instance_that_comes_back_with_another_build_is_told_and_goes_on(answer, told):
    desk = Desk("a", limit=2)
    desk.end(served_and_back(desk), answer)

    assert notes(desk) == told
    assert not desk.member("a").todo
    assert len(desk.requests("a")) == 1, "one request first"


def test_a_server_that_was_restarted_so_quickly_that_it_stayed_in_use_is_asked_too():
    desk = Desk("a", "b", limit=2)
    desk.add(*(row(position) for position in range(12)))
    desk.end(desk.requests("a")[0], desk.well(desk.requests("a")[0]))
    desk.fail(desk.requests("a")[0], FailureKind.UNREACHABLE)
    assert not desk.member("a").health.ejected
    desk.end(desk.requests("a")[0], desk.well(desk.requests("a")[0]))
    (asked,) = (one for one in desk.running.values() if one.purpose == "discover")
    assert (asked.instance, asked.subject) == ("a", "models")
    desk.end(asked, listing(mistral="sha256:another"))
    desk.end(desk.requests("a")[0], desk.well(desk.requests("a")[0]))

    assert notes(desk) == [("digest_changed", "a")]
    assert all(one.purpose == "request" for one in desk.running.values()), "asked once a failed connection"


def test_a_second_outage_with_the_same_new_build_is_not_told_again():
    desk = Desk("a", limit=2)
    desk.end(served_and_back(desk), listing(mistral="sha256:another"))
    desk.end(served_and_back(desk), listing(mistral="sha256:another"))

    assert notes(desk) == [("digest_changed", "a")]


@pytest.mark.parametrize(("digest", "told"), [("sha256:another", [("digest_differs", "b")]), ("sha256:mistral:7b", [])])
def test_an_instance_that_begins_with_another_build_than_the_first_is_told(digest, told):
    desk = Desk("a", "b", limit=1)
    member = desk.member("b")
    known = member.models[MISTRAL.model]
    member.models[MISTRAL.model] = structs.replace(known, digest=digest)
    desk.add(*(row(position) for position in range(4)))

    assert desk.requests("b")
    assert notes(desk) == told
