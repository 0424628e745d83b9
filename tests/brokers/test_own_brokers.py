"""The brokers of the tests do what the tests of faults rely on: they die, freeze, forget, and come back as they were."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager, suppress

import pytest
from amqp import AccessRefused
from cuttable_proxy import network_before
from kombu import Connection
from kombu.exceptions import OperationalError

pytestmark = pytest.mark.timeout(90)

QUEUE = "arriero.tests"


@contextmanager
def queue_at(url: str):
    """A connection and a simple queue over it."""
    with Connection(url, connect_timeout=3) as connection, closing(connection.SimpleQueue(QUEUE)) as queue:
        yield queue


def held(url: str) -> list[str]:
    """What a broker holds, taken out of it."""
    found = []
    with queue_at(url) as queue, suppress(queue.Empty):
        while True:
            message = queue.get(block=False)
            message.ack()
            found.append(message.payload)
    return found


def put(url: str, text: str) -> None:
    with queue_at(url) as queue:
        queue.put(text)


def test_a_broker_carries_a_message(broker_url: str) -> None:
    put(broker_url, "one")

    assert held(broker_url) == ["one"]


def test_our_broker_refuses_who_has_no_password(own_broker) -> None:
    stranger = own_broker.url.replace(own_broker.password, "guess")
    with pytest.raises((OperationalError, AccessRefused)), Connection(stranger, connect_timeout=3) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)


def test_a_broker_that_is_killed_is_gone_and_a_wiped_one_serves_at_its_address_and_holds_nothing(own_broker) -> None:
    put(own_broker.url, "one")
    own_broker.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_broker.port), 1.0)
    own_broker.wipe()

    assert held(own_broker.url) == []


def test_nothing_passes_a_network_that_is_cut_until_it_is_mended(own_broker) -> None:
    with network_before(own_broker.port) as network:
        address = ("127.0.0.1", network.port)
        with socket.create_connection(address, 0.3) as before:
            network.cut()
            with socket.create_connection(address, 0.3) as within, pytest.raises(TimeoutError):
                own_broker.answers(within)
            with pytest.raises(TimeoutError):
                own_broker.answers(before)
            network.mend()
            before.settimeout(10.0)
            assert before.recv(1), "what was on the way arrives"
        put(own_broker.at(network.port), "after")

    assert held(own_broker.url) == ["after"]
