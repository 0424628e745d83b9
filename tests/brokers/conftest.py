"""Brokers for the tests of the Celery engine: those that answer, else our own; skipped loudly, and never in CI."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
from broker import Broker, serving
from rabbitmq_broker import RabbitmqBroker
from redis_broker import RedisBroker

from guard import guard
from missing import missing

KINDS = {"redis": RedisBroker, "rabbitmq": RabbitmqBroker}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a broker runs on both."""
    if {"broker_url", "own_broker"} & set(metafunc.fixturenames):
        brief = metafunc.definition.get_closest_marker("one_broker") is not None
        kinds = [pytest.param(kind, marks=pytest.mark.slow) if brief and kind != "redis" else kind for kind in KINDS]
        metafunc.parametrize("kind", kinds, ids=list(KINDS), scope="session")


@pytest.fixture(scope="session")
def own_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Broker]]:
    """Starts a broker of ours when the first test asks for it: RabbitMQ takes seconds."""
    folder = tmp_path_factory.mktemp("brokers")
    found: dict[str, Broker] = {}
    with guard(folder), contextlib.ExitStack() as stack:

        def own(kind: str) -> Broker:
            if kind not in found:
                if not KINDS[kind].installed():
                    missing(f"no {kind}-server of our own, and others are not killed: apt-get install {kind}-server")
                found[kind] = stack.enter_context(serving(KINDS[kind](folder / kind)))
            return found[kind]

        yield own


@pytest.fixture
def own_broker(kind: str, own_brokers: Callable[[str], Broker]) -> Broker:
    """A broker to kill, stop and empty; it runs when the test begins, and its queues are gone."""
    broker = own_brokers(kind)
    broker.revive()
    return broker


@pytest.fixture
def broker_url(kind: str, own_brokers: Callable[[str], Broker]) -> str:
    """The broker that ``ARRIERO_TEST_REDIS`` or ``ARRIERO_TEST_RABBITMQ`` names, else our own."""
    name = f"ARRIERO_TEST_{kind.upper()}"
    if named := os.environ.get(name):
        return named
    if not KINDS[kind].installed():
        missing(f"no {kind}: apt-get install {kind}-server, or {name}=URL")
    broker = own_brokers(kind)
    broker.revive()
    return broker.url
