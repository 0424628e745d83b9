"""Post: the one thread that publishes, so that a broker that is slow or away holds nobody up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import KombuError

from arriero.engines.celery.broker import ANNOUNCEMENT, DELIVER, TRANSIENT, queue_named

AGAIN_S = 0.5
"""After a failure nothing is tried for so long; what is dropped meanwhile the links repeat."""

Letter: TypeAlias = tuple[str, str, bytes | Mapping[str, Any]]
"""``task`` or ``plain`` with a queue and a frame; ``event`` with ``""`` and its fields."""


class Post:
    """Publishes in the order in which it is asked.

    Args:
        app: The application, with its broker.
    """

    def __init__(self, app: Celery) -> None:
        self.trouble = ""
        self._app = app
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="arriero-post")
        self._connection: Connection | None = None
        self._producer: Any = None
        self._dispatcher: Any = None
        self._declared: dict[str, Queue] = {}
        self._again_at = 0.0

    def send(self, letters: Sequence[Letter]) -> Future[bool]:
        """Publish; the future says whether the broker has them. It never raises."""
        return self._pool.submit(self._send, letters)

    def close(self) -> None:
        """Publish what was asked for, and hang up."""
        self._pool.submit(self._hang_up)
        self._pool.shutdown()

    def _send(self, letters: Sequence[Letter]) -> bool:
        if time.monotonic() < self._again_at:
            return False
        connection = self._connection or self._app.connection_for_write()
        try:
            if self._connection is None:
                self._connection = connection
                self._connect(connection)
            for kind, queue, content in letters:
                self._publish(kind, queue, content)
        except (*connection.connection_errors, *connection.channel_errors, OSError, KombuError) as error:
            self.trouble = f"{type(error).__name__}: {error}" if not isinstance(error, TimeoutError) else "timeout"
            self._hang_up()
            self._again_at = time.monotonic() + AGAIN_S
            return False
        self.trouble = ""
        return True

    def _connect(self, connection: Connection) -> None:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        channel = connection.default_channel
        self._producer = self._app.amqp.Producer(channel, auto_declare=False)
        self._dispatcher = self._app.events.Dispatcher(
            connection, channel=channel, enabled=True, buffer_while_offline=False
        )

    def _publish(self, kind: str, queue: str, content: bytes | Mapping[str, Any]) -> None:
        if not isinstance(content, bytes):
            self._dispatcher.send(ANNOUNCEMENT, retry=False, **content)
            return
        if queue not in self._declared:
            self._declared[queue] = queue_named(queue)
            # On Redis only the publisher's own channel gives a queue its end.
            self._declared[queue](self._producer.channel).declare()
        if kind == "task":
            self._app.send_task(
                DELIVER,
                args=(content.decode(),),
                queue=self._declared[queue],
                declare=[],
                producer=self._producer,
                retry=False,
                delivery_mode=TRANSIENT,
                ignore_result=True,
                argsrepr="(…)",
                kwargsrepr="{}",
            )
        else:
            self._producer.publish(
                content,
                exchange="",
                routing_key=queue,
                content_type="application/data",
                content_encoding="binary",
                delivery_mode=TRANSIENT,
                retry=False,
            )

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        self._declared.clear()
        if connection is not None:
            connection.collect(socket_timeout=1.0)
