"""Merge: the rows of the input beside those the journal has finished, in one pass over both."""

from __future__ import annotations

from collections.abc import Iterator

from arriero.errors import BindingError

NONE_LEFT = -1


class Merge:
    """Compares each finished row with the row that stands there now.

    Attributes:
        position: The next finished row; ``NONE_LEFT`` when all were compared.

    The finished rows come ordered by position, so that neither side is held in memory.
    """

    def __init__(self, finished: Iterator[tuple[int, bytes]]) -> None:
        self.position = NONE_LEFT
        self._finished = finished
        self._hash = b""

    def advance(self) -> None:
        """Go to the next finished row."""
        self.position, self._hash = next(self._finished, (NONE_LEFT, b""))

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
            raise BindingError(
                f"{name}:{line}: the row has changed since it was finished",
                hint="Put the old row back and run again; or start anew with --force, which moves the journal aside.",
            )
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
        if rows < least:
            raise BindingError(
                f"{name}: has {rows} rows, and had at least {least} when the journal was written",
                hint="Put the missing rows back; rows may only be appended.",
            )
