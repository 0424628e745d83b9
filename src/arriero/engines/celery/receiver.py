"""Receiver: the coordinator's thread that hears its own queue and what workers announce, and comes back by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Connection, Consumer
from kombu.exceptions import KombuError
from kombu.message import Message

from arriero.engines.celery.broker import announcements, queue_named

AGAIN_S = 0.5
"""Between two tries to reach a broker that is away."""

LOOK_S = 0.5
DEAF_S = 10.0
"""Our own echo comes every second: a connection on which nothing is heard for so long is given up."""


class Receiver:
    """Hears until it is closed.

    Args:
        app: The application, with its broker.
        queue: The queue for frames; ``""``: announcements only.
        name: Unique.
        on_frame: Given the bytes of each message there, in this thread.
        on_event: Given each announcement as it came, in this thread.
    """

    def __init__(
        self,
        app: Celery,
        queue: str,
        name: str,
        on_frame: Callable[[bytes], None],
        on_event: Callable[[Any], None],
    ) -> None:
        self.trouble = ""
        self._app = app
        self._queue = queue
        self._name = name
        self._on_frame = on_frame
        self._on_event = on_event
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arriero-receiver", daemon=True)
        self._heard_at = 0.0

    def start(self) -> None:
        """Begin to hear."""
        self._thread.start()

    def close(self) -> None:
        """Hear no more; a thread that went on would take what is meant for the next batch."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            connection = self._app.connection_for_read()
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
                self._hear(connection)
            except (*connection.connection_errors, *connection.channel_errors, OSError, KombuError) as error:
                self.trouble = f"{type(error).__name__}: {error}"
                self._over.wait(AGAIN_S)
            finally:
                connection.collect(socket_timeout=1.0)

    def _hear(self, connection: Connection) -> None:
        channel = connection.channel()
        events = Consumer(
            channel, [announcements(self._name, connection)], callbacks=[self._event], no_ack=True, accept=["json"]
        )
        frames = Consumer(
            channel, [queue_named(self._queue)] if self._queue else [], on_message=self._frame, no_ack=True
        )
        with events, frames:
            self.trouble = ""
            self._heard_at = time.monotonic()
            while not self._over.is_set():
                try:
                    connection.drain_events(timeout=LOOK_S)
                except TimeoutError:
                    if self._queue and time.monotonic() - self._heard_at > DEAF_S:
                        raise
                if connection.supports_heartbeats:
                    connection.heartbeat_check()
            if self._queue:
                queue_named(self._queue)(channel).delete()

    def _frame(self, message: Message) -> None:
        self._heard_at = time.monotonic()
        body = message.body
        self._on_frame(body.encode() if isinstance(body, str) else bytes(body))

    def _event(self, body: Any, _message: Message) -> None:
        for event in body if isinstance(body, list) else [body]:
            self._on_event(event)
