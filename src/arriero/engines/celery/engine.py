"""CeleryEngine: carries attempts out through workers on other machines, and those of its own instances itself."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Self

import msgspec

from arriero.backends.wire import Backend
from arriero.core.events import AttemptEnded, Event, InstanceJoined, InstanceLeft
from arriero.core.instance import Instance
from arriero.core.outcome import Failure, FailureKind
from arriero.core.remembered import Served
from arriero.core.request import Attempt, AttemptId
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.celery.broker import application
from arriero.engines.celery.messages import Announcement, Frame, announced, read, written
from arriero.engines.celery.outbox import Outbox
from arriero.engines.celery.peers import Peers
from arriero.engines.celery.post import Letter, Post
from arriero.engines.celery.receiver import Receiver

BEAT_S = 1.0
STALE_S = 2.5
"""Without our own echo for so long the broker is away, and nobody's silence counts."""

MOST_BEAT_S = 1.5
"""A beat that comes later was slept through: only so much of it counts as silence of others."""

FOUND_S = 10.0
"""How long the start waits for the first worker to announce itself."""


class Reach(msgspec.Struct, frozen=True):
    """How the coordinator is known on the broker.

    Attributes:
        broker: Address of the broker.
        batch: The same when this batch's coordinator is started again.
        run: Grows with each start.
    """

    broker: str
    batch: str
    run: int


class CeleryEngine(AsyncioEngine):
    """The asyncio engine, and workers beside it: an attempt goes to whoever holds its instance.

    Args:
        book: Address of each instance that is reached from here.
        dialects: Backend by ``Attempt.backend``.
        session: Name of the process run.
        reach: The broker, and who we are on it.
        remembered: What earlier batches learned of an instance that joins.
    """

    def __init__(
        self,
        book: Mapping[str, Address],
        dialects: Mapping[str, Backend],
        session: str,
        reach: Reach,
        remembered: Callable[[Instance], tuple[Served, ...]] = lambda _: (),
    ) -> None:
        super().__init__(book, dialects, session)
        app = application(reach.broker)
        self._queue = f"arriero.c.{reach.batch}.{reach.run}"
        self._peers = Peers(reach.batch, reach.run, session, self._queue)
        self._remembered = remembered
        self._post = Post(app)
        self._receiver = Receiver(
            app, self._queue, session, self._from_thread(self._frame), self._from_thread(self._event)
        )
        self._outbox = Outbox(self._post, self._collected)
        self._beat: asyncio.TimerHandle | None = None
        self._beaten_at = self._echo_at = 0.0
        self._opened_at = inf

    async def __aenter__(self) -> Self:
        """Open the pool of connections, and begin to listen to the broker."""
        await super().__aenter__()
        self._opened_at = self._beaten_at = self.now()
        self._receiver.start()
        self._on_beat()
        return self

    async def aclose(self) -> None:
        """End what flies, let the workers go."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
            self._peers.close(self.now())
            self._closing = True
            self._hand_out()
            self._post.send([self._letter(*one) for one in self._peers.out])
            await asyncio.to_thread(self._hang_up)
        await super().aclose()

    @property
    def gathering(self) -> bool:
        """Whether the start had better wait: for a worker to announce itself, or for one that serves another batch."""
        if self._peers.serving:
            return False
        return bool(list(self._peers)) or self.now() - self._opened_at < FOUND_S

    @property
    def trouble(self) -> str:
        """Why the broker is not reached; ``""`` where it is."""
        return self._receiver.trouble or self._post.trouble

    @property
    def held(self) -> list[str]:
        """Workers that serve another batch."""
        return self._peers.held

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt here or at a worker."""
        if attempt.instance in self._book:
            super().start(attempt)
        elif self._closing:
            self._refuse(attempt, FailureKind.CANCELLED, "the engine was closed")
        elif self._peers.start(attempt):
            self._outbox.stir()
        else:
            self._refuse(attempt, FailureKind.LOST, "no worker holds this instance")

    def cancel(self, attempt: AttemptId) -> None:
        """Ask for its end, wherever it is."""
        if self._peers.cancel(attempt):
            self._outbox.stir()
        else:
            super().cancel(attempt)

    def _in_order(self, events: list[Event]) -> list[Event]:
        """What a worker tells has its order by the worker's own clock."""
        return events if self._peers.serving else super()._in_order(events)

    def _posted(self, event: Event) -> None:
        super()._posted(event)
        if isinstance(event, InstanceLeft):
            self._peers.leave(event.name, self.now())
            self._hand_out()
            self._outbox.stir()

    def _refuse(self, attempt: Attempt, kind: FailureKind, detail: str) -> None:
        self._emit(AttemptEnded(attempt.id, self.now(), Failure(kind=kind, detail=detail, own=True)))

    def _from_thread(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """The same, in the loop."""

        def hand_over(content: Any) -> None:
            loop = self._loop
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(take, content)

        return hand_over

    def _frame(self, body: bytes) -> None:
        frame = read(body)
        if frame is None or self._closing:
            self._peers.dropped += 1
        elif frame.kind == "echo":
            self._echo_at = self.now()
        else:
            self._peers.heard(frame, self.now())
            self._hand_out()
            self._outbox.stir()

    def _event(self, event: Any) -> None:
        told = announced(event)
        if told is None or self._closing:
            self._peers.dropped += 1
        else:
            self._peers.announced(told, self.now())
            self._hand_out()
            self._outbox.stir()

    def _hand_out(self) -> None:
        """Tell the scheduler."""
        events, self._peers.events = self._peers.events, []
        for event in events:
            if isinstance(event, InstanceJoined):
                self._emit(InstanceJoined(event.instance, self._remembered(event.instance)))
            else:
                self._emit(event)

    def _on_beat(self) -> None:
        now = self.now()
        gone_s = min(now - self._beaten_at, MOST_BEAT_S) if now - self._echo_at < STALE_S else 0.0
        self._beaten_at = now
        self._peers.beat(now, gone_s)
        self._peers.out.append(("", Frame(kind="echo")))
        self._hand_out()
        self._outbox.stir()
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._on_beat)

    def _collected(self) -> list[Letter]:
        """All that is to be sent now."""
        if self._closing:
            return []
        self._peers.gather()
        out, self._peers.out = self._peers.out, []
        return [self._letter(*one) for one in out]

    def _letter(self, queue: str, frame: Frame) -> Letter:
        """To a worker's queue, or to our own."""
        return ("task", queue, written(frame)) if queue else ("plain", self._queue, written(frame))

    def _hang_up(self) -> None:
        """Join both threads."""
        self._receiver.close()
        self._post.close()


def new_run() -> int:
    """A number that grows with each start: milliseconds of the wall clock.

    Where the clock was set back between two starts, workers let the new one in once they miss the old one.
    """
    return time.time_ns() // 1_000_000


def listen(broker: str, wait: Callable[[], object]) -> tuple[list[Announcement], str]:
    """Whoever announces itself while ``wait`` waits, by name; and why the broker was not reached, if it was not."""
    found: dict[str, Announcement] = {}

    def take(event: object) -> None:
        if (told := announced(event)) is not None:
            found[told.worker] = told

    receiver = Receiver(application(broker), "", uuid.uuid4().hex, lambda _: None, take)
    receiver.start()
    wait()
    receiver.close()
    return [found[name] for name in sorted(found)], receiver.trouble
