"""Feed: rows to Requests behind the scan, a bounded piece a call, straight from the input file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from arriero.core.request import BatchId, Request, Result
from arriero.errors import ArrieroError, InputError
from arriero.inputs.bind import Binder
from arriero.inputs.lines import AnyLine
from arriero.inputs.scan import MARK_ROWS, Scan
from arriero.inputs.source import Source

BOUND_ROWS_MAX = 64
"""Rows parsed and bound a call: about 0.5 ms of rows of 100 bytes."""

SKIPPED_ROWS_MAX = 2048
"""Lines passed over a call: about 0.5 ms."""


class Ended(Protocol):
    """The rows that are finished, such as the journal's bitmap."""

    def first_open(self, position: int) -> int:
        """The first row from ``position`` on that is not finished."""
        ...


class Feed:
    """Hands out what is to be sent, in input order; called from the loop, never blocks.

    Attributes:
        more_now: The last ``take`` ended because of its own bounds: call again at the next turn. If it is False and
            ``ended`` too, the scan calls ``on_progress`` when there is more.
        ended: Every row was handed out or skipped; becomes True in ``take`` and nowhere else, although the scan may
            reach its end at any moment, so that whoever asks after each ``take`` cannot miss it.
    """

    def __init__(
        self,
        source: Source,
        binder: Binder,
        scan: Scan,
        *,
        done: Ended,
        attempts_used: Mapping[int, int],
        batch: BatchId,
        round_number: int = 0,
    ) -> None:
        """Keep where rows come from; ``done`` are those that are finished in this round."""
        self.more_now = False
        self.ended = False
        self._source = source
        self._binder = binder
        self._scan = scan
        self._done = done
        self._attempts_used = attempts_used
        self._batch = batch
        self._round = round_number
        self._position = 0
        self._lines: Iterator[AnyLine] = iter(())
        self._lines_at = -1
        self._budget = 0
        self._error: ArrieroError | None = None

    @property
    def total(self) -> int | None:
        """Rows of the batch; None until the scan is over."""
        return self._scan.total

    @property
    def error(self) -> ArrieroError | None:
        """Why no more rows come although the feed has not ended."""
        return self._scan.error or self._error

    def take(self, requests: int, size_bytes: int) -> list[Request | Result]:
        """Hand out rows that come next.

        Args:
            requests: How many requests the window takes.
            size_bytes: How many bytes; the last request may go beyond.

        Returns:
            Requests to send, and Results of rows that end unsent (bad, unsupported), at most ``BOUND_ROWS_MAX``
            together. Empty while the scan has found no more, and after an error.
        """
        self.more_now = False
        taken: list[Request | Result] = []
        self._budget = SKIPPED_ROWS_MAX
        try:
            while requests > 0 and size_bytes > 0 and self.error is None and self._reached(len(taken)):
                one = self._next()
                taken.append(one)
                if isinstance(one, Request):
                    requests -= 1
                    size_bytes -= one.size_bytes
        except ArrieroError as error:
            self._error = error
        self.ended = self.error is None and self._scan.total == self._position
        return taken

    def _reached(self, taken: int) -> bool:
        """Pass over finished rows; whether the next line is that of a row to hand out in this call."""
        scanned = self._scan.scanned
        self._position = min(scanned, self._done.first_open(self._position))
        if self._position >= scanned:
            # Told first and looked at again after: a row scanned in between would be waited for in vain.
            self._scan.wanted = self._position
            self.more_now = self._scan.scanned > self._position
            return False
        if self._budget <= 0 or taken >= BOUND_ROWS_MAX or not self._seek():
            self.more_now = True
            return False
        return True

    def _seek(self) -> bool:
        """Bring the reader to the next row, from the last mark before it; whether it got there in this call."""
        if not self._position - self._position % MARK_ROWS <= self._lines_at <= self._position:
            mark = self._scan.mark(self._position)
            self._lines = self._source.lines(mark)
            self._lines_at = mark.position
        while self._lines_at < self._position and self._budget > 0:
            self._line()
            self._budget -= 1
        return self._lines_at == self._position

    def _line(self) -> AnyLine:
        line = next(self._lines, None)
        if line is None:
            raise InputError(f"{self._source.name}: has lost rows since it was scanned")
        self._lines_at += 1
        return line

    def _next(self) -> Request | Result:
        position = self._position
        row = self._source.parse(position, self._line())
        self._position += 1
        bound = self._binder.request(
            row,
            batch=self._batch,
            round_number=self._round,
            attempts_used=self._attempts_used.get(position, 0),
        )
        if isinstance(bound, Request):
            return bound
        return Result(
            request=self._binder.unsent(row, batch=self._batch, round_number=self._round),
            outcome=bound,
        )
