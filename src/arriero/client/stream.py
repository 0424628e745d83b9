"""Stream: requests from a Python iterable, answers as they come; kept only where a journal is named."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from msgspec import structs

from arriero.client.answer import Answer
from arriero.client.instances import Nowhere, default_model, require_model, require_usable
from arriero.client.memory import Memory
from arriero.client.session import Session
from arriero.client.stream_feed import UNREAD_ANSWERS, StreamFeed
from arriero.client.stream_journal import StreamJournal
from arriero.config.settings import InstanceConfig, Settings
from arriero.core.batch import Batch
from arriero.core.events import BatchCancelled, BatchClosed, BatchOpened, InputReady, Notice
from arriero.core.policies.pick import FirstCome
from arriero.core.request import BatchId, Result
from arriero.drive import Feed
from arriero.errors import ConfigError, FleetError
from arriero.inputs.bind import Binder
from arriero.inputs.sequence import Item

WINDOW_REQUESTS = 250
"""Requests that wait for a place at most: an iterable may be without end, and its items dear to make."""


class Streams:
    """A fleet that serves any number of streams at once, until it is closed.

    Args:
        settings: Checked settings; the input and output in them are not used.
        instances: The fleet.
    """

    def __init__(self, settings: Settings, instances: tuple[InstanceConfig, ...]) -> None:
        self._settings = settings
        # In order of arrival: where more items always come, the shortest would wait for ever behind longer ones.
        self._name = uuid4().hex[:12]
        self._session = Session(
            settings, self._name, instances, rank=lambda _: FirstCome(), memory=Memory.of(os.environ), batch=self._name
        )
        self._model = ""
        self._feeds: dict[BatchId, Feed] = {}
        self._streams: dict[BatchId, StreamFeed] = {}
        self._batches = 0
        self._closing = False
        self._full = False
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Discover the fleet and begin to serve.

        Raises:
            FleetError: If no instance is usable, or none has the model.
            ConfigError: If no model is named and several are installed.
        """
        await self._session.__aenter__()
        try:
            await self._session.discover(Nowhere())
            fleet = self._session.scheduler.fleet
            require_usable(fleet)
            self._model = self._settings.models[0] if self._settings.models else default_model(fleet)
            require_model(fleet, self._model)
        except BaseException:
            await self._session.__aexit__(None, None, None)
            raise
        self._loop = asyncio.create_task(self._session.drive(self._feeds, self, after_turn=self._over))
        self._loop.add_done_callback(self._wake_readers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what was not answered is dropped."""
        self._closing = True
        self._wake(0)
        try:
            if self._loop is not None:
                await self._loop
        finally:
            await self._session.__aexit__(kind, error, trace)

    async def stream(
        self, items: Iterable[Item], *, ordered: bool = False, journal: str | Path | None = None
    ) -> AsyncGenerator[tuple[int, Answer], None]:
        """Answers and their positions, as they come; leave early with ``break``.

        Args:
            items: Prompts, or rows like those of a jsonl file; taken only as far ahead as the fleet needs.
            ordered: The reader puts them into the order of the items, so that one slow answer must not let all others
                pile up behind it.
            journal: Where results are kept: what it holds of the same items is answered from it.

        Raises:
            FleetError: If no instance was usable for longer than ``max_wait``.
            BindingError: If the journal is of other items or settings.
            StorageError: If the journal cannot keep what comes.
        """
        self._batches += 1
        batch = self._batches
        binder = Binder.of(self._settings)
        binder.model = binder.model or self._model
        feed = StreamFeed(items, binder, self._settings, batch, ordered=ordered)
        if journal is not None:
            feed.journal = self._own(journal, feed)
        self._streams[batch] = feed
        scheduler, now = self._session.scheduler, self._session.engine.now()
        settings = self._settings
        opened = Batch(
            id=batch,
            window_requests=WINDOW_REQUESTS,
            retries=settings.retries,
            max_wait_s=settings.max_wait_s,
        )
        scheduler.tell(BatchOpened(opened), now)
        self._feeds[batch] = feed
        self._wake(batch)
        try:
            async for one in self._answers(feed):
                yield one
        finally:
            del self._feeds[batch], self._streams[batch]
            if not scheduler.finished(batch):
                self._session.engine.post(BatchCancelled(batch))
            self._session.engine.post(BatchClosed(batch))
            if feed.journal is not None:
                feed.journal.close(feed.total if feed.over else None)

    def _own(self, journal: str | Path, feed: StreamFeed) -> StreamJournal:
        settings = structs.replace(self._settings, models=(self._model,))

        def kept(results: Sequence[Result]) -> None:
            feed.answered(results)
            if self._full:
                self._wake(feed.batch)

        return StreamJournal.open(journal, settings, self._name, feed.batch, kept=kept, changed=feed.changed.set)

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """A sink for ``drive``: each result goes to its stream."""
        mine: dict[BatchId, list[Result]] = {}
        for result in results:
            mine.setdefault(result.request.batch, []).append(result)
        for batch, stream in self._streams.items():
            if stream.journal is not None:
                stream.journal.record(mine.get(batch, ()), notices)
            elif batch in mine:
                stream.answered(mine[batch])

    def room(self) -> bool:
        """Whether every journal keeps up; a stream that is not read takes no more requests itself."""
        keeps_up = all(stream.journal is None or stream.journal.room() for stream in self._streams.values())
        self._full = not keeps_up
        return keeps_up

    async def _answers(self, feed: StreamFeed) -> AsyncIterator[tuple[int, Answer]]:
        while True:
            while feed.answers:
                yield feed.answers.popleft()
                if len(feed.answers) == UNREAD_ANSWERS // 2:
                    self._wake(feed.batch)
            if feed.over:
                return
            if feed.error is not None:
                raise feed.error
            if self._loop is None or self._loop.done():
                raise self._stopped()
            feed.changed.clear()
            await feed.changed.wait()

    def _stopped(self) -> BaseException:
        """Why the loop ended while answers were awaited."""
        if self._closing:
            return ConfigError("the client was closed while a stream was read")
        bug = self._loop.exception() if self._loop is not None else None
        if self._session.scheduler.stop_reason == "refused":
            return FleetError("every instance refuses us")
        return bug or FleetError("no instance was usable for longer than max_wait")

    def _wake_readers(self, loop: asyncio.Task[None]) -> None:
        for stream in self._streams.values():
            stream.changed.set()

    def _wake(self, batch: BatchId) -> None:
        self._session.engine.post(InputReady(batch))

    def _over(self) -> bool:
        return self._closing or bool(self._session.scheduler.stop_reason)


def in_order(answers: Iterator[tuple[int, Answer]]) -> Iterator[Answer]:
    """Answers by position; those that come early are held."""
    held: dict[int, Answer] = {}
    position = 0
    for at, answer in answers:
        held[at] = answer
        while position in held:
            yield held.pop(position)
            position += 1
