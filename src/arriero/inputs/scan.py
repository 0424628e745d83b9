"""Scan: one pass over the input in its own thread, ahead of sending: counts, bad lines, duplicates, changed rows."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import islice

from arriero.errors import ArrieroError, InputError
from arriero.inputs.bind import Binder
from arriero.inputs.duplicates import Duplicates, hash_of
from arriero.inputs.lines import AnyLine, Mark
from arriero.inputs.members import short
from arriero.inputs.merge import Held, Merge
from arriero.inputs.row import BadRow, Row
from arriero.inputs.source import Source

MARK_ROWS = 1024
"""Rows from one mark to the next: a reader that seeks a row skips fewer lines than this."""

YIELD_ROWS = 256
"""Rows between two pauses of the scan; ``MARK_ROWS`` is a multiple."""
MODELS_NAMED_MAX = 1000


class Scan:
    """Reads every row once, before it may be sent or skipped.

    Its thread writes the attributes below, everyone reads them; each only grows. A row whose position is below
    ``scanned`` was found good, or bad and accepted, and equal to what the journal finished.

    Attributes:
        scanned: Rows so far, bad ones included.
        total: Rows in all; None until the end was reached.
        error: Why the scan stopped before the end; nothing after ``scanned`` may be sent then.
        bad_rows: Lines not finished before that will end as ``rejected``.
        refused_rows: Rows not finished before that will end as ``unsupported`` or ``rejected`` though well formed.
        size_bytes: Bytes of the file so far, a few hundred rows behind.
        appended: Rows beyond the total of the run before.
        wanted: Set by the feed: ``on_progress`` is called once when ``scanned`` passes it.
    """

    def __init__(
        self,
        source: Source,
        binder: Binder,
        *,
        finished: Iterator[tuple[int, bytes, bool]] | None = None,
        held: Held | None = None,
        stop_at_bad: bool = True,
        first: int | None = None,
        previous_total: int | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep what to scan; ``start`` begins.

        Args:
            source: The input.
            binder: The settings, for rows that are bad only with them (a template's field that is missing).
            finished: Position, hash and failure of finished rows in order of position, read in the scan's thread.
            held: The batch they are of, for messages.
            stop_at_bad: A bad line is an error; False: it is counted and ends as a failed result.
            first: Only this many rows belong to the batch.
            previous_total: Rows of the input when it was last scanned to its end.
            on_progress: Called in the scan's thread at the end, on error, and when ``wanted`` was passed.
        """
        self.scanned = 0
        self.total: int | None = None
        self.error: ArrieroError | None = None
        self.bad_rows = 0
        self.refused_rows = 0
        self.size_bytes = 0
        self.appended = 0
        self.wanted: float = math.inf
        self._source = source
        self._binder = binder
        self._merge = Merge(finished or iter(()), held)
        self._stop_at_bad = stop_at_bad
        self._first = first
        self._previous_total = previous_total
        self._on_progress = on_progress
        self._duplicates = Duplicates()
        self._own_ids = False
        self._known = 0
        self._first_line = 0
        self._named: dict[str, int] = {}
        self._mark_lines = array("Q")
        self._mark_offsets = array("Q")
        self._stopping = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arriero-scan", daemon=True)

    def start(self) -> None:
        """Begin in a thread."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the scan is over, with or without an error; whether it is."""
        return self._over.wait(timeout_s)

    def stop(self) -> None:
        """End the thread and wait for it; ``total`` stays None if the end was not reached."""
        self._stopping = True
        self._source.release()
        if self._thread.is_alive():
            self._thread.join()

    def mark(self, position: int) -> Mark:
        """The last place at or before a scanned row from which the source can be read."""
        index = position // MARK_ROWS
        return Mark(index * MARK_ROWS, self._mark_lines[index], self._mark_offsets[index])

    @property
    def models(self) -> dict[str, int]:
        """Rows not finished before by the model they name, at most 1,000 models; ``""``: rows that name none."""
        named = dict(self._named)
        return {"": self.scanned - self._known - sum(named.values()), **named}

    def _run(self) -> None:
        try:
            self._merge.advance()
            self._pass()
        except ArrieroError as error:
            self.error = error
        finally:
            # A defect of ours must not leave the loop waiting for ever; the hook for threads tells of it.
            if self.total is None and self.error is None and not self._stopping:
                self.error = ArrieroError("the scan of the input ended by a defect of arriero")
            self._merge.close()
            self._duplicates.close()
            self._over.set()
            self._on_progress()

    def _pass(self) -> None:
        source, merge, known = self._source, self._merge, self._source.known
        lines = islice(source.lines(), self._first)
        for line in lines:
            position = self.scanned
            if position % YIELD_ROWS == 0:
                self._pause(position, line)
                if self._stopping:
                    return
            if position == merge.position:
                digest, own_id = known(line)
                merge.compare(source.name, line.number, digest)
                self._known += 1
            else:
                own_id = self._examine(source.parse(position, line))
            if own_id is not None or self._own_ids:
                self._identify(position, line.number, own_id)
            self.scanned = position + 1
            if source.anonymous and merge.position == self.scanned:
                self._pass_over(lines)
            if position >= self.wanted:
                self.wanted = math.inf
                self._on_progress()
        if not self._stopping:
            self._end()

    def _pass_over(self, lines: Iterator[AnyLine]) -> None:
        """Compare the finished rows that come next all at once, up to the next pause."""
        begin = self.scanned
        wanted = self._merge.run(-begin % YIELD_ROWS)
        found = list(map(self._source.hash, islice(lines, len(wanted))))
        same = len(found)
        if found != wanted[:same]:
            same = next(at for at, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other)
        if same:
            self._merge.advance(same)
            self._known += same
            self.scanned = begin + same
        if same < len(found):
            self._merge.compare(self._source.name, self._line_number(self.scanned), found[same])

    def _line_number(self, position: int) -> int:
        """Where a row stands; read again from the last mark before it."""
        mark = self.mark(position)
        return next(islice(self._source.lines(mark), position - mark.position, None)).number

    def _pause(self, position: int, line: AnyLine) -> None:
        """Every so many rows: note the place, and let the event loop have the interpreter."""
        if position % MARK_ROWS == 0:
            self._mark_lines.append(line.number)
            self._mark_offsets.append(line.offset)
        if position == 0:
            self._first_line = line.number
        self.size_bytes = line.offset
        time.sleep(0)

    def _examine(self, row: Row | BadRow) -> str | None:
        """Count a new row and find what is wrong with it under these settings; its own id."""
        if isinstance(row, BadRow):
            self._bad(row.line, row.column, row.reason, row.hint)
            return row.own_id
        if row.refusal is not None:
            self.refused_rows += 1
        elif row.options is not None or self._binder.template is not None:
            problem = self._binder.problem(row)
            if problem is not None:
                self._bad(row.line, problem.column or 1, problem.reason, problem.hint)
        elif row.is_text:
            return None
        if row.model is not None:
            self._name(row.model)
        return row.own_id

    def _name(self, model: str) -> None:
        if model in self._named or len(self._named) < MODELS_NAMED_MAX:
            self._named[model] = self._named.get(model, 0) + 1

    def _identify(self, position: int, line: int, own_id: str | None) -> None:
        """Take in an id. Line numbers cannot repeat among themselves, so they count from the first own id on."""
        if not self._own_ids:
            self._own_ids = True
            for earlier in islice(self._source.lines(), position):
                self._duplicates.suspects(str(earlier.number))
        own = str(line) if own_id is None else own_id
        if self._duplicates.suspects(own):
            self._confirm(position, line, own)

    def _bad(self, line: int, column: int, reason: str, hint: str) -> None:
        self.bad_rows += 1
        if self._stop_at_bad:
            raise InputError(
                f"{self._source.name}:{line}:{column}: {reason}",
                hint=hint
                if hint and line == self._first_line
                else "Mend the line; or run with --on-bad-line fail: each bad line becomes a failed result.",
            )

    def _confirm(self, position: int, line: int, own: str) -> None:
        """Read again up to a row whose id is suspected; a hash alone proves nothing."""
        for row in islice(self._source.rows(), position):
            if row.id == own:
                self._refuse(line, own, row.line)

    def _refuse(self, line: int, own: str, first_line: int) -> None:
        raise InputError(
            f"{self._source.name}:{line}: the id {short(own)} stands already on line {first_line}",
            hint="Give every row its own id, or none: its line number serves then.",
        )

    def _end(self) -> None:
        if self._first is None or self.scanned < self._first:
            self._merge.end(self._source.name, self.scanned, self._previous_total)
        repeated = self._duplicates.repeated()
        if repeated:
            self._find(repeated)
        self.appended = max(0, self.scanned - (self._previous_total or self.scanned))
        self.total = self.scanned

    def _find(self, repeated: set[int]) -> None:
        """Read again for ids whose hash was found twice in the temporary file."""
        lines: dict[str, int] = {}
        for row in islice(self._source.rows(), self._first):
            if hash_of(row.id) in repeated:
                if row.id in lines:
                    self._refuse(row.line, row.id, lines[row.id])
                lines[row.id] = row.line
