"""Merge: the rows of the input beside those the journal has finished, in one pass over both."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from itertools import islice
from typing import NamedTuple

from arriero.errors import BindingError

NONE_LEFT = -1

AHEAD_ROWS = 1024
"""Finished rows taken at once."""


class Held(NamedTuple):
    """The batch that a journal holds, for messages.

    Attributes:
        output: Its output; ``-`` for standard output.
        journal: The journal.
        input: Its input, where that has another name than the one read now; else ``""``.
        words: What names the batch behind a command: ``results.json``, and ``--journal FILE`` where that is needed.
    """

    output: str
    journal: str
    input: str
    words: tuple[str, ...]

    @property
    def ways_out(self) -> str:
        """What makes place for another batch."""
        if self.output == "-":
            return f"remove {self.journal}, or name another with --journal PATH"
        return f"name another output with -o, or run with --force to move {self.output} and its journal aside"


class Merge:
    """Compares each finished row with the row that stands there now.

    Attributes:
        position: The next finished row; ``NONE_LEFT`` when all were compared.

    The finished rows come ordered by position, so that neither side is held in memory.
    """

    def __init__(self, finished: Iterator[tuple[int, bytes, bool]], held: Held | None = None) -> None:
        self.position = NONE_LEFT
        self._finished = finished
        self._held = held
        self._hash = b""
        self._failed = False
        self._ahead: list[tuple[int, bytes, bool]] = []
        self._at = 0

    def advance(self, rows: int = 1) -> None:
        """Go to the next finished row, or pass over as many as ``run`` has given."""
        self._at += rows
        if self._at >= len(self._ahead):
            self._ahead, self._at = list(islice(self._finished, AHEAD_ROWS)), 0
            if not self._ahead:
                self.position, self._hash, self._failed = NONE_LEFT, b"", False
                return
        self.position, self._hash, self._failed = self._ahead[self._at]

    def run(self, most: int) -> list[bytes]:
        """Hashes of the finished rows from ``position`` on that stand one behind the other, at most so many."""
        rows = self._ahead[self._at : self._at + most]
        while rows and rows[-1][0] - rows[0][0] >= len(rows):
            rows = rows[: len(rows) // 2]
        return [row[1] for row in rows]

    def close(self) -> None:
        """Let go of where the finished rows come from; in the thread that read them."""
        if isinstance(self._finished, Generator):
            self._finished.close()

    def compare(self, name: str, line: int, row_hash: bytes) -> None:
        """Compare the row at ``position`` and advance.

        Args:
            name: What messages call the input.
            line: The row's line number.
            row_hash: Its hash now.

        Raises:
            BindingError: If the row is not the one that was finished (P8).
        """
        if row_hash != self._hash:
            raise self._changed(name, line)
        self.advance()

    def end(self, name: str, rows: int, previous_total: int | None) -> None:
        """Check that nothing is missing at the end of the input.

        Args:
            name: What messages call the input.
            rows: Rows it has now.
            previous_total: Rows it had when it was last scanned to its end; None if it never was.

        Raises:
            BindingError: If it had more.
        """
        least = max(self.position + 1, previous_total or 0)
        if rows >= least:
            return
        number = f"{rows:,} row{'' if rows == 1 else 's'}"
        if self._held is not None and self._held.input:
            raise self._another(name, f"it has {number}, and {self._held.input} had at least {least:,}")
        raise BindingError(
            f"{name}: has {number}, and had at least {least:,} when the journal was written",
            hint="put the missing rows back (rows may only be appended); or start anew with --force, which moves output "
            "and journal aside",
        )

    def _changed(self, name: str, line: int) -> BindingError:
        held = self._held
        if held is not None and held.input:
            return self._another(name, f"its line {line} is not the row that was finished")
        message = f"{name}:{line}: the row has changed since it was finished"
        if self._failed and held is not None:
            command = shlex.join(("arriero", "retry", *held.words))
            return BindingError(
                f"{message}, and it had failed", hint=f"{command} sends the failed rows again as they are now"
            )
        if held is not None and (held.output == "-" or name == "<stdin>"):
            return BindingError(
                f"{message}: the journal {held.journal} holds the batch of other rows",
                hint=f"give the old rows again to go on with it; or {held.ways_out}",
            )
        return BindingError(
            message,
            hint="put the old row back and run again; or start anew with --force, which moves output and journal aside",
        )

    def _another(self, name: str, why: str) -> BindingError:
        """The input is not the one the journal was begun with, neither by name nor by rows."""
        held = self._held
        assert held is not None  # noqa: S101 - asked only where there is one
        what = "standard output" if held.output == "-" else held.output
        return BindingError(
            f"{what} (journal {held.journal}) holds the batch of {held.input}, and {name} is another input: {why}",
            hint=held.ways_out,
        )
