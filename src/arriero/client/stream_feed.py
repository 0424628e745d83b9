"""StreamFeed: requests of one Python iterable, taken as they are wanted, and its answers until they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from arriero.client.answer import Answer, answer_of
from arriero.client.batch import prompt_for
from arriero.client.stream_journal import StreamJournal
from arriero.config.settings import Settings
from arriero.core.request import BatchId, Request, Result
from arriero.inputs.bind import Binder
from arriero.inputs.row import BadRow, Row
from arriero.inputs.sequence import Item, row_of_item
from arriero.journal.stored import StoredResult

UNREAD_ANSWERS = 250
"""Answers that nobody has read yet; from here on the stream takes no more requests (P7)."""

HELD_ANSWERS = 500
"""Answers that came before an earlier item's, where they are read in order; from here on it takes no more either."""

TAKEN_A_TURN = 64


class StreamFeed:
    """Requests of one iterable; holds the rows that have not been answered.

    Attributes:
        journal: Keeps the results, and answers what it knows; None: nothing is kept.
        more_now: The last ``take`` stopped only because of its own bound.
        answers: What has ended and was not read.
        over: No more answers will come.
    """

    def __init__(
        self, items: Iterable[Item], binder: Binder, settings: Settings, batch: BatchId, *, ordered: bool
    ) -> None:
        self.journal: StreamJournal | None = None
        self.more_now = False
        self.answers: deque[tuple[int, Answer]] = deque()
        self.changed = asyncio.Event()
        self.batch = batch
        self._items = iter(items)
        self._binder = binder
        self._prompt = prompt_for(settings)
        self._templated = settings.prompt is not None
        self._ordered = ordered
        self._rows: dict[int, Row | BadRow] = {}
        self._position = 0
        self._ended = False
        self._error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._ended

    @property
    def total(self) -> int | None:
        """Requests in all, once the iterable has ended."""
        return self._position if self._ended else None

    @property
    def error(self) -> Exception | None:
        """Why no more answers come although the stream is not over; None if it goes on."""
        return self._error or (None if self.journal is None else self.journal.failed)

    @property
    def over(self) -> bool:
        """Whether every request has been answered."""
        return self._ended and not self._rows and self.error is None

    def take(self, requests: int, size_bytes: int) -> list[Request | Result]:
        """The next requests; none while nobody reads the answers, or they cannot be read for want of an earlier one."""
        taken: list[Request | Result] = []
        if self._ordered and self._held() >= HELD_ANSWERS:
            self.more_now = False
            return taken
        while len(taken) < min(requests, TAKEN_A_TURN) and len(self.answers) < UNREAD_ANSWERS and size_bytes > 0:
            try:
                row = self._next()
            except Exception as error:  # noqa: BLE001 - whatever the caller's iterable raises is raised to its reader
                self._error, row = error, None
                self.changed.set()
            if row is None:
                self._ended = True
                break
            if row.position in self._rows:
                one = self._bound(row)
                taken.append(one)
                size_bytes -= one.size_bytes if isinstance(one, Request) else 0
        self.more_now = len(taken) == TAKEN_A_TURN
        return taken

    def _next(self) -> Row | BadRow | None:
        """The row of the next item, answered already if the journal knows it; None at the end."""
        try:
            item = next(self._items)
        except StopIteration:
            self.changed.set()
            return None
        row = row_of_item(self._position, item, templated=self._templated)
        self._position += 1
        stored = None if self.journal is None else self.journal.recall(row)
        if stored is None:
            self._rows[row.position] = row
        else:
            self._answer(row, stored)
        return row

    def _held(self) -> int:
        """Answers to items behind the first one that has none."""
        first = next(iter(self._rows), self._position)
        return self._position - first - len(self._rows)

    def answered(self, results: Sequence[Result]) -> None:
        """Requests of this stream have ended, and are kept if anything is."""
        for result in results:
            self._answer(self._rows.pop(result.request.position), StoredResult.of(result))

    def _answer(self, row: Row | BadRow, stored: StoredResult) -> None:
        self.answers.append((row.position, answer_of(row, stored, self._prompt)))
        self.changed.set()

    def _bound(self, row: Row | BadRow) -> Request | Result:
        """The request of a row, or the result of one that can never be sent."""
        number = 0 if self.journal is None else self.journal.round
        used = 0 if self.journal is None else self.journal.attempts_used(row.position)
        bound = self._binder.request(row, batch=self.batch, round_number=number, attempts_used=used)
        if isinstance(bound, Request):
            return bound
        return Result(request=self._binder.unsent(row, batch=self.batch, round_number=number), outcome=bound)
