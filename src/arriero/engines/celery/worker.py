"""Worker: the Celery process around the hands: its queue, its one task, its signals, its remote control."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from amqp.exceptions import ResourceLocked
from celery import Celery, bootsteps
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.worker.consumer import Consumer
from celery.worker.control import inspect_command
from celery.worker.state import maybe_shutdown
from kombu import Connection

from arriero.backends.wire import Backend
from arriero.core.instance import Instance
from arriero.engines.address import Address
from arriero.engines.celery.broker import DELIVER, application, queue_named
from arriero.engines.celery.hands import Hands
from arriero.engines.celery.post import Post

DEAF_EXIT = 75
"""EX_TEMPFAIL: start it again."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to be.

    Attributes:
        broker: Address of the broker.
        name: Its name; one a worker.
        instances: What it holds.
        book: Their addresses by name.
        dialects: Backend by name.
        grace_s: How long what runs may go on after it was asked to end.
        say: Says a line to whoever started it.
    """

    broker: str
    name: str
    instances: Sequence[Instance]
    book: Mapping[str, Address]
    dialects: Mapping[str, Backend]
    grace_s: float
    say: Callable[[str], None]


class Shift:
    """The thread in which the hands live, from the worker's start to its end."""

    def __init__(self, app: Celery, job: Job) -> None:
        self.epoch = uuid.uuid4().hex[:8]
        self.queue = queue_named(f"arriero.w.{job.name}.{self.epoch}")
        self._job = job
        self._post = Post(app)
        self._inbox: deque[str] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hands: Hands | None = None
        self._over: asyncio.Event | None = None
        self._grace_s = job.grace_s
        self._begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="arriero-hands")

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._begun.wait()

    def end(self, *, at_once: bool) -> None:
        """Drain, or cut off, and return when all is said."""
        if at_once:
            self._grace_s = 0.0
        if self._loop is not None and not self._loop.is_closed() and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._post.close()

    def deliver(self, frame: str) -> None:
        """Hand a frame over. It is no argument of the callback: asyncio shows those when one fails."""
        self._inbox.append(frame)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take_in)

    def numbers(self) -> dict[str, Any]:
        """How the hands stand."""
        return self._hands.numbers() if self._hands is not None else {}

    async def _live(self) -> None:
        job = self._job
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        hands = self._hands = Hands(
            job.name, self.epoch, self.queue.name, job.instances, job.book, job.dialects, self._post, self._deaf
        )
        telling = self._loop.create_task(self._tell_ready(hands))
        self._begun.set()
        await hands.live(self._over, self._grace_s)
        telling.cancel()

    async def _tell_ready(self, hands: Hands) -> None:
        await hands.heard.wait()
        self._job.say(f"ready      {self._job.name}: {len(self._job.instances)} instances")

    def _take_in(self) -> None:
        while self._inbox and self._hands is not None:
            self._hands.deliver(self._inbox.popleft())

    def _deaf(self) -> None:
        self._job.say(
            "error: nothing comes from the broker any more although it can be reached; a fresh process will hear"
        )
        os._exit(DEAF_EXIT)


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which comes back within 2 s of the broker and leaves if its name is taken."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, trying every 0.3 to 2 s; Celery itself waits up to 30 s."""
        return conn.ensure_connection(
            self._not_yet, None, interval_start=0.3, interval_step=0.3, interval_max=2.0, callback=maybe_shutdown
        )

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection broke."""
        if isinstance(exc, ResourceLocked):
            logging.getLogger("celery").error("another worker of this name is connected: give each a name of its own")
            maybe_shutdown()
            threading.Event().wait(2.0)
        super().on_connection_error_after_connected(exc)

    def _not_yet(self, error: Exception, interval_s: float) -> None:
        logging.getLogger("celery").warning("the broker is not reached: %s", type(error).__name__)


class FirstLine(logging.Filter):
    """Keeps what Celery says of a message that it cannot use up to where the message itself begins."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut."""
        record.msg, record.args = re.split(r"[:'\"\n]", record.getMessage(), maxsplit=1)[0], ()
        record.exc_info = None
        return True


def serve(job: Job) -> int:
    """Be a worker until somebody ends it.

    Args:
        job: What to be.

    Returns:
        The exit status.

    Raises:
        ConfigError: If the address is none of a broker.
    """
    app = application(job.broker)
    shift = Shift(app, job)
    app.conf.update(task_default_queue=shift.queue.name, task_queues=[shift.queue])
    app.steps["worker"].add(_step(shift))

    @app.task(name=DELIVER, ignore_result=True, acks_late=False, send_events=False)  # type: ignore[untyped-decorator]
    def deliver(frame: str) -> None:
        shift.deliver(frame)

    @inspect_command(name="arriero")  # type: ignore[untyped-decorator]
    def numbers(_state: object) -> dict[str, Any]:
        return shift.numbers()

    for said in (
        CPendingDeprecationWarning,
        SecurityWarning,
    ):  # of settings that are meant; nothing is unpickled as root
        warnings.simplefilter("ignore", said)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(FirstLine())
    worker = app.Worker(
        pool_cls="solo",
        concurrency=1,
        hostname=f"{job.name}@{socket.gethostname()}",
        consumer_cls=PatientConsumer,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
        loglevel="WARNING",
    )
    worker.start()
    return int(worker.exitcode or 0)


def _step(shift: Shift) -> type:
    """The shift as a step of the worker's life: SIGTERM, remote shutdown and fatal errors all come here."""

    class ShiftStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = frozenset({"celery.worker.components:Pool"})

        def start(self, worker: object) -> None:
            shift.start()

        def stop(self, worker: object) -> None:
            shift.end(at_once=False)

        def terminate(self, worker: object) -> None:
            shift.end(at_once=True)

    return ShiftStep
