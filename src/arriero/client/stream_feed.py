"""StreamFeed: requests of one Python iterable, taken as they are wanted, and its answers until they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from arriero.client.answer import Answer, answer_of
from arriero.client.batch import prompt_for
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
        more_now: The last ``take`` stopped only because of its own bound.
        answers: What has ended and was not read.
        over: No more answers will come.
    """

    def __init__(
        self, items: Iterable[Item], binder: Binder, settings: Settings, batch: BatchId, *, ordered: bool
    ) -> None:
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

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._ended

    @property
    def total(self) -> int | None:
        """Requests in all, once the iterable has ended."""
        return self._position if self._ended else None

    @property
    def over(self) -> bool:
        """Whether every request has been answered."""
        return self._ended and not self._rows

    def take(self, requests: int, size_bytes: int) -> list[Request | Result]:
        """The next requests; none while nobody reads the answers, or they cannot be read for want of an earlier one."""
        taken: list[Request | Result] = []
        if self._ordered and self._held() >= HELD_ANSWERS:
            self.more_now = False
            return taken
        while len(taken) < min(requests, TAKEN_A_TURN) and len(self.answers) < UNREAD_ANSWERS and size_bytes > 0:
            try:
                item = next(self._items)
            except StopIteration:
                self._ended = True
                self.changed.set()
                break
            row = row_of_item(self._position, item, templated=self._templated)
            self._rows[self._position] = row
            self._position += 1
            bound = self._binder.request(row, batch=self.batch)
            if isinstance(bound, Request):
                size_bytes -= bound.size_bytes
                taken.append(bound)
            else:
                taken.append(Result(request=self._binder.unsent(row, batch=self.batch), outcome=bound))
        self.more_now = len(taken) == TAKEN_A_TURN
        return taken

    def _held(self) -> int:
        """Answers to items behind the first one that has none."""
        first = next(iter(self._rows), self._position)
        return self._position - first - len(self._rows)

    def answered(self, result: Result) -> None:
        """A request of this stream has ended."""
        row = self._rows.pop(result.request.position)
        self.answers.append((row.position, answer_of(row, StoredResult.of(result), self._prompt)))
        self.changed.set()
