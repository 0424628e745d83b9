"""Done: which rows have ended, one bit a row."""

from __future__ import annotations

from collections.abc import Iterable

POSITIONS = 1 << 40
"""No input has more rows; a higher position can only be damage, and would ask for a bitmap of its size."""

ENDED = b"\xff" * 512
"""4,096 rows that have ended, one after another: compared at once."""


class Done:
    """Positions that have ended, and how many of them succeeded.

    One owner adds (the journal's writer, after a commit); other threads only ask. 100,000,000 rows are 12.5 MB.

    Attributes:
        succeeded: Rows with an answer.
        failed: Rows that failed for good in their round.
    """

    def __init__(self, rows: int = 0) -> None:
        self.succeeded = 0
        self.failed = 0
        self._bits = bytearray((rows + 7) >> 3)

    @classmethod
    def of(cls, rows: int, ended: Iterable[tuple[int, int]]) -> Done:
        """From what a journal holds.

        Args:
            rows: More than the highest position.
            ended: Each position once, with 1 if it succeeded, else 0.
        """
        done = cls(rows)
        bits, count, succeeded = done._bits, 0, 0
        for position, ok in ended:  # 1,000,000 times at a resume, hence no call of add
            bits[position >> 3] |= 1 << (position & 7)
            count += 1
            succeeded += ok
        done.succeeded, done.failed = succeeded, count - succeeded
        return done

    def __contains__(self, position: object) -> bool:
        if not isinstance(position, int) or position < 0:
            return False
        byte = position >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (position & 7) & 1)

    def first_open(self, position: int) -> int:
        """The first row from ``position`` on that has not ended; where all that are held have, the one behind them."""
        bits, size = self._bits, len(self._bits)
        while position & 7 and position in self:
            position += 1
        if position & 7 or position not in self:
            return position
        byte = position >> 3
        while bits[byte : byte + len(ENDED)] == ENDED:
            byte += len(ENDED)
        while byte < size and bits[byte] == 0xFF:  # noqa: PLR2004 - eight rows
            byte += 1
        position = byte << 3
        while position in self:
            position += 1
        return position

    def __len__(self) -> int:
        return self.succeeded + self.failed

    def add(self, position: int, *, succeeded: bool) -> None:
        """A row has ended; once a row.

        Raises:
            ValueError: If it had ended before (P1).
        """
        if position in self:
            raise ValueError(f"row {position} has ended before")
        byte = position >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1 - len(self._bits), len(self._bits) // 2)))
        self._bits[byte] |= 1 << (position & 7)
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
