"""Hands: what a worker does for the batch it serves; frames come in, attempts run on its own loop, what happens goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import msgspec
from msgspec import structs

from arriero.backends.wire import Backend
from arriero.core.events import AttemptBegan, AttemptEnded, Event
from arriero.core.instance import Instance
from arriero.core.request import Attempt, AttemptId
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.celery.link import Link
from arriero.engines.celery.messages import Announcement, Frame, State, Told, read, written
from arriero.engines.celery.outbox import Outbox
from arriero.engines.celery.post import Letter, Post

BEAT_S = 1.0
ANNOUNCE_S = 2.0
STALE_S = 6.0
"""Without our own echo for so long the broker is away: nobody's silence counts, and we do not announce ourselves."""

ALONE_S = 30.0
"""A coordinator that is silent for so long is gone: its attempts end, another batch may come."""

DEAF_S = 60.0
"""Without our own echo for so long although we can publish, we hear nothing any more: a fresh process does."""

GATHER_S = 0.25
"""First tokens travel with the next outcome, or after this."""

FLUSH_S = 0.02
"""Between two looks at whether the goodbye is on its way."""

MOST_TOLD = 200
"""In one frame."""


@dataclass
class Served:
    """The batch that is served.

    Attributes:
        attach: How it came.
        engine: Carries its attempts.
        link: This end of the session.
        reader: The task that reads what happens.
        silent_s: How long its coordinator has said nothing while the broker was there.
    """

    attach: Frame
    engine: AsyncioEngine
    link: Link = field(default_factory=Link)
    reader: asyncio.Task[None] | None = None
    silent_s: float = 0.0


class Hands:
    """Everything of a worker but Celery; lives on one event loop.

    Args:
        name, epoch: Who this is.
        queue: Where frames come from.
        instances: What it holds.
        book: Their addresses by name.
        dialects: Backend by name.
        post: Publishes.
        on_deaf: Called once when nothing is heard any more.
    """

    def __init__(
        self,
        name: str,
        epoch: str,
        queue: str,
        instances: Sequence[Instance],
        book: Mapping[str, Address],
        dialects: Mapping[str, Backend],
        post: Post,
        on_deaf: Callable[[], None],
    ) -> None:
        self.dropped = 0
        self.heard = asyncio.Event()
        self._told = Announcement(worker=name, epoch=epoch, queue=queue, instances=tuple(instances))
        self._book = book
        self._dialects = dialects
        self._post = post
        self._on_deaf = on_deaf
        self._served: Served | None = None
        self._events: list[AttemptBegan | AttemptEnded] = []
        self._running: set[AttemptId] = set()
        self._letters: list[Letter] = []
        self._outbox = Outbox(post, self._collected)
        self._state: State = "ready"
        self._beaten_at = self._announced_at = -inf
        self._echo_at = -inf
        self._deaf_s = 0.0
        self._gather: asyncio.TimerHandle | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def live(self, over: asyncio.Event, grace_s: float) -> None:
        """Serve until ``over``, then let what runs end, at most ``grace_s`` long, and say goodbye."""
        loop = asyncio.get_running_loop()
        while not over.is_set():
            self._beat(loop.time())
            try:
                await asyncio.wait_for(over.wait(), BEAT_S)
            except TimeoutError:
                continue
        self._state = "draining"
        until = loop.time() + grace_s
        while self._running and loop.time() < until:
            self._say_state()
            self._outbox.stir()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), BEAT_S)
        self._state = "gone"
        self._say_state()
        self._dismiss()
        while self._outbox.busy or self._letters or self._readers:
            self._outbox.stir()
            await asyncio.sleep(FLUSH_S)

    def deliver(self, body: str) -> None:
        """A frame came."""
        frame = read(body)
        now = asyncio.get_running_loop().time()
        if frame is None:
            self.dropped += 1
        elif frame.kind == "echo":
            self._echo_at = now
            self._deaf_s = 0.0
            self.heard.set()
        elif frame.kind == "attach":
            self._attach(frame)
        elif self._served is None or frame.session != self._served.attach.session:
            self.dropped += 1
        elif frame.kind == "detach":
            self._dismiss()
        else:
            self._served.silent_s = 0.0
            if self._served.link.receive(frame):
                self._work(self._served, frame)
            self._outbox.stir()

    def numbers(self) -> dict[str, Any]:
        """How it stands, for ``inspect``."""
        served = self._served
        return {
            "batch": served.attach.batch if served else "",
            "session": served.attach.session if served else "",
            "running": len(self._running),
            "dropped": self.dropped,
            "state": self._state,
        }

    def _attach(self, frame: Frame) -> None:
        served = self._served
        if self._state != "ready":
            return
        if served is not None and served.attach.session == frame.session:
            served.silent_s = 0.0
        elif served is not None and (served.attach.batch != frame.batch or served.attach.run > frame.run):
            self.dropped += 1
            return
        else:
            self._dismiss()
            self._serve(frame)
        self._letters.append(self._letter(Frame(kind="hello", session=frame.session)))
        self._outbox.stir()

    def _serve(self, attach: Frame) -> None:
        engine = AsyncioEngine(self._book, self._dialects, attach.session.partition("-")[0])
        served = self._served = Served(attach, engine)
        served.reader = asyncio.get_running_loop().create_task(self._read(served))
        self._readers.add(served.reader)
        served.reader.add_done_callback(self._readers.discard)

    async def _read(self, served: Served) -> None:
        """Gather what happens in the engine until it is closed."""
        async with served.engine:
            while served is self._served:
                self._take(served, await served.engine.wait(inf))

    def _take(self, served: Served, events: Sequence[Event]) -> None:
        if served is not self._served:
            return
        for event in events:
            if isinstance(event, AttemptEnded):
                self._running.discard(event.attempt)
                self._events.append(event)
                self._outbox.stir()
            elif isinstance(event, AttemptBegan):
                self._events.append(event)
                if self._gather is None:
                    self._gather = asyncio.get_running_loop().call_later(GATHER_S, self._outbox.stir)
        if not self._running:
            self._idle.set()

    def _work(self, served: Served, frame: Frame) -> None:
        for attempt in frame.start:
            self._start(served, attempt)
        for attempt_id in frame.cancel:
            served.engine.cancel(attempt_id)

    def _start(self, served: Served, attempt: Attempt) -> None:
        if attempt.id in self._running or attempt.backend not in self._dialects:
            self.dropped += 1
            return
        self._running.add(attempt.id)
        self._idle.clear()
        served.engine.start(attempt)

    def _dismiss(self) -> None:
        """The batch is served no more: what runs for it is cut off, what it came to is nobody's."""
        served, self._served = self._served, None
        self._events.clear()
        self._running.clear()
        self._idle.set()
        if served is not None and served.reader is not None:
            served.reader.cancel()  # closes the engine on its way out

    def _beat(self, now: float) -> None:
        gone_s = min(now - self._beaten_at, 1.5 * BEAT_S)
        self._beaten_at = now
        stale = now - self._echo_at > STALE_S
        self._deaf_s = self._deaf_s + gone_s if stale and not self._post.trouble else 0.0
        if self._deaf_s > DEAF_S:
            self._on_deaf()
        served = self._served
        if served is not None and not stale:
            served.silent_s += gone_s
            if served.silent_s > ALONE_S:
                self._dismiss()
        self._letters.append(("task", self._told.queue, written(Frame(kind="echo"))))
        if not stale and now - self._announced_at >= ANNOUNCE_S:
            self._announced_at = now
            self._announce()
        self._say_state()
        self._outbox.stir()

    def _announce(self) -> None:
        attach = self._served.attach if self._served is not None else None
        told = structs.replace(
            self._told, batch=attach.batch if attach else "", run=attach.run if attach else 0, state=self._state
        )
        self._letters.append(("event", "", msgspec.to_builtins(told)))

    def _say_state(self) -> None:
        """A tick to the coordinator, and what is to be repeated."""
        served = self._served
        if served is None:
            return
        now = asyncio.get_running_loop().time()
        self._letters += [self._letter(frame) for frame in served.link.due(now)]
        self._gathered()
        self._letters.append(self._letter(served.link.tick(Frame(kind="tick", session=served.attach.session))))

    def _letter(self, frame: Frame) -> Letter:
        told = self._told
        signed = structs.replace(frame, worker=told.worker, epoch=told.epoch, state=self._state)
        queue = self._served.attach.reply_to if self._served is not None else ""
        return ("plain", queue, written(signed))

    def _gathered(self) -> None:
        """Put what has happened into frames."""
        served = self._served
        if self._gather is not None:
            self._gather.cancel()
            self._gather = None
        if served is None:
            return
        now = served.engine.now()
        while self._events:
            some, self._events = self._events[:MOST_TOLD], self._events[MOST_TOLD:]
            told = tuple(
                Told.ended(event.attempt, now - event.at, event.outcome)
                if isinstance(event, AttemptEnded)
                else Told(event.attempt, now - event.at)
                for event in some
            )
            frame = Frame(kind="outcomes", session=served.attach.session, told=told)
            self._letters.append(self._letter(served.link.send(frame)))

    def _collected(self) -> list[Letter]:
        """All that is to be sent now."""
        self._gathered()
        letters, self._letters = self._letters, []
        return letters
