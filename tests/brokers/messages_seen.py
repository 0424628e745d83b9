"""What a stranger on the broker can do: hear announcements, copy every frame, and put anything into any queue."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broker import Broker
from celery.events.event import get_exchange
from kombu import Connection, Consumer, Exchange, Producer, Queue

COPIED = "x-copied-by-a-test"
FRAMES = re.compile(r"^arriero\.[wc]\.")
MONITORED = re.compile(rb'^\+[\d.]+ \[\d+ [^\]]*\] "LPUSH" "(arriero\.[wc]\.[^"]*)" "(.*)"\r\n$', re.DOTALL)


@contextmanager
def every_event(url: str) -> Iterator[list[dict[str, Any]]]:
    """All events of Celery that are sent while the block runs, as they came."""
    found: list[dict[str, Any]] = []
    over, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=_hear, args=(url, found, ready, over))
    thread.start()
    try:
        assert ready.wait(20.0)
        yield found
    finally:
        over.set()
        thread.join()


def _hear(url: str, found: list[dict[str, Any]], ready: threading.Event, over: threading.Event) -> None:
    def take(body: Any, _message: Any) -> None:
        found.extend(body if isinstance(body, list) else [body])

    with Connection(url) as connection:
        events = get_exchange(connection)
        queue = Queue(f"celeryev.{uuid.uuid4()}", events, routing_key="#", auto_delete=True, durable=False, expires=60)
        with Consumer(connection, [queue], callbacks=[take], accept=["json"], no_ack=True):
            ready.set()
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)


def announcements(url: str, workers: int, patience_s: float = 15.0) -> dict[str, dict[str, Any]]:
    """The last announcement of so many workers, by name."""
    until = time.monotonic() + patience_s
    with every_event(url) as events:
        while True:
            found = {event["worker"]: event for event in list(events) if event.get("type") == "arriero-worker"}
            if len(found) == workers:
                return found
            assert time.monotonic() < until, f"only {sorted(found)} announce themselves"
            time.sleep(0.05)


def put(url: str, queue: str, body: Any, **properties: Any) -> None:
    """Put a message straight into a queue; ``body`` may be bytes of any type."""
    with Connection(url) as connection, connection.channel() as channel:
        Producer(channel).publish(body, exchange="", routing_key=queue, **properties)


def put_task(url: str, queue: str, frame: Any, task: str = "arriero.deliver", **headers: Any) -> None:
    """A message that Celery takes for a call of a task."""
    task_id = str(uuid.uuid4())
    known = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "argsrepr": "()", "kwargsrepr": "{}"}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    put(
        url, queue, json.dumps([[frame], {}, embed]).encode(), headers={**known, **headers}, correlation_id=task_id,
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip


@contextmanager
def doubling(broker: Broker) -> Iterator[list[str]]:
    """While the block runs every frame, in both directions, is delivered again; the queues of those that were."""
    doubled: list[str] = []
    copy = _double_redis if broker.kind == "redis" else _double_rabbitmq
    over = threading.Event()
    ready = threading.Event()
    thread = threading.Thread(target=copy, args=(broker, doubled, ready, over))
    thread.start()
    try:
        assert ready.wait(20.0)
        yield doubled
    finally:
        over.set()
        thread.join()


def _double_redis(broker: Broker, doubled: list[str], ready: threading.Event, over: threading.Event) -> None:
    """``MONITOR`` tells each command; what was pushed is pushed once more, with a mark that we know it by."""
    from redis import Redis  # noqa: PLC0415 - with the engine's extra

    client = Redis(port=broker.port, password=broker.password)
    with socket.create_connection(("127.0.0.1", broker.port)) as connection:
        connection.sendall(f"AUTH {broker.password}\r\nMONITOR\r\n".encode())
        connection.settimeout(0.2)
        ready.set()
        text = b""
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                text += connection.recv(1 << 20)
            *lines, text = text.split(b"\r\n")
            for line in lines:
                if found := MONITORED.match(line + b"\r\n"):
                    payload = json.loads(_unescaped(found[2]))
                    if not payload["headers"].get(COPIED):
                        payload["headers"][COPIED] = True
                        client.lpush(found[1].decode(), json.dumps(payload))
                        doubled.append(found[1].decode())
    client.close()


def _unescaped(text: bytes) -> bytes:
    """A string as ``MONITOR`` prints it."""
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", lambda one: _byte(one[1]), text)


def _byte(escape: bytes) -> bytes:
    if len(escape) > 1:
        return bytes([int(escape[1:], 16)])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}.get(escape, escape)


def _double_rabbitmq(broker: Broker, doubled: list[str], ready: threading.Event, over: threading.Event) -> None:
    """The firehose: with tracing on, each published message is copied to an exchange."""
    broker.control("trace_on")
    trace = Exchange("amq.rabbitmq.trace", type="topic", durable=True, no_declare=True)
    with Connection(broker.url) as connection, connection.channel() as channel:
        producer = Producer(channel)

        def take(_body: Any, message: Any) -> None:
            told = message.headers
            (queue,) = told["routing_keys"]
            properties = dict(told["properties"])
            headers = properties.pop("headers", None) or {}
            if FRAMES.match(queue) and COPIED not in headers:
                producer.publish(
                    bytes(message.body), exchange="", routing_key=queue, headers={**headers, COPIED: True}, **properties
                )
                doubled.append(queue)

        queue = Queue(f"trace.{uuid.uuid4()}", trace, routing_key="publish.#", durable=True, expires=60_000)
        with Consumer(channel, [queue], callbacks=[take], no_ack=True, accept=None):
            ready.set()
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
    broker.control("trace_off")
