from math import inf

import pytest

from arriero.backends.ollama import Ollama
from arriero.backends.wire import Broken, HttpReply
from arriero.core.outcome import Failure, FailureKind, Observation
from arriero.core.request import Attempt, Timeouts, Unit


def seen(subject, body, *, status=200, broken=None):
    ask = Attempt(
        id=1,
        instance="a",
        purpose="discover",
        subject=subject,
        unit=Unit("m:1b") if subject == "details" else None,
        timeouts=Timeouts(inf, inf, inf),
    )
    return Ollama().outcome(ask, HttpReply(status=status, body=body, latency_s=0.25, broken=broken))


def test_installed_models_come_with_what_the_server_says_of_them():
    body = (
        b'{"models":[{"name":"a:1b","digest":"d1","capabilities":["completion","vision"],"details":{"context_length":8192}},'
        b'{"name":"b-cloud","details":{}},{"model":"c","remote_host":"https://x"},{"name":""}]}'
    )
    observation = seen("models", body)

    assert isinstance(observation, Observation)
    assert observation.latency_s == 0.25
    assert [(model.name, model.digest, model.context_tokens, model.remote) for model in observation.models] == [
        ("a:1b", "d1", 8192, False),
        ("b-cloud", "", None, True),
        ("c", "", None, True),
    ]
    assert observation.models[0].capabilities == ("completion", "vision")


def test_a_resident_model_has_the_context_it_was_loaded_with():
    (model,) = seen(
        "resident", b'{"models":[{"name":"a","context_length":512,"details":{"context_length":8192}}]}'
    ).models

    assert model.context_tokens == 512


@pytest.mark.parametrize(
    ("info", "context_tokens"),
    [
        ('{"general.architecture":"llama","llama.context_length":8192,"other.context_length":1}', 8192),
        ('{"general.architecture":"llama","llama.context_length":"long"}', None),
        ('{"general.architecture":"llama","llama.context_length":-1}', None),
        ('{"general.architecture":7,"llama.context_length":8192}', None),
        ("{}", None),
        ("null", None),
    ],
)
def test_details_tell_the_trained_context_by_the_architecture(info, context_tokens):
    body = f'{{"details":{{}},"capabilities":["completion"],"model_info":{info}}}'.encode()
    (model,) = seen("details", body).models

    assert (model.name, model.capabilities, model.context_tokens) == ("m:1b", ("completion",), context_tokens)


def test_nothing_installed_is_an_observation_too():
    assert seen("models", b'{"models":null}').models == ()
    assert seen("models", b'{"models":[]}').models == ()


@pytest.mark.parametrize("subject", ["version", "models", "details", "resident"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"Ollama is running",
        b"{}",
        b"[]",
        b'{"models":7,"version":7,"details":7}',
        b"[" * 200_000,
    ],
)
def test_what_is_no_listing_is_a_bad_reply(subject, body):
    failure = seen(subject, body)

    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BAD_REPLY


def test_a_listing_that_is_missing_is_unsupported_and_a_missing_model_is_missing():
    assert seen("models", b"404 page not found", status=404).kind is FailureKind.UNSUPPORTED
    assert "/api/tags" in seen("models", b"404 page not found", status=404).detail
    assert seen("details", b"""{"error":"model 'm:1b' not found"}""", status=404).kind is FailureKind.MODEL_MISSING


def test_an_error_inside_a_listing_is_judged_by_its_text():
    assert seen("models", b'{"error":"server busy, please try again"}').kind is FailureKind.OVERLOADED
    assert seen("models", b'{"error":"no"}').kind is FailureKind.BAD_REPLY


def test_a_listing_that_broke_keeps_its_kind():
    failure = seen("version", b"", status=0, broken=Broken(FailureKind.UNREACHABLE, "refused", sent=False))

    assert (failure.kind, failure.crashed) == (FailureKind.UNREACHABLE, False)
