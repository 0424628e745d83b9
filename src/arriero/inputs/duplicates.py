"""Duplicates: whether an id stood before, in memory that does not grow with the rows."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import IO

from arriero.errors import StorageError

IDS_IN_MEMORY_MAX = 1 << 20
PARTITIONS = 256
BUFFER_IDS = 1024


class HashTable:
    """64-bit numbers, open addressing in one array: 16 to 32 bytes a number, where a ``set`` takes 60 to 100.

    Attributes:
        count: Numbers held.
    """

    def __init__(self) -> None:
        self.count = 0
        self._slots = array("Q", [0]) * 1024

    def add(self, number: int) -> bool:
        """Take a number (not 0) in; whether it was there."""
        slots = self._slots
        mask = len(slots) - 1
        at = number & mask
        while found := slots[at]:
            if found == number:
                return True
            at = (at + 1) & mask
        slots[at] = number
        self.count += 1
        if 2 * self.count > len(slots):
            self._grow()
        return False

    def __iter__(self) -> Iterator[int]:
        return (number for number in self._slots if number)

    def _grow(self) -> None:
        slots = array("Q", [0]) * (2 * len(self._slots))
        mask = len(slots) - 1
        for number in self:
            at = number & mask
            while slots[at]:
                at = (at + 1) & mask
            slots[at] = number
        self._slots = slots


class Partitions:
    """64-bit numbers in a temporary file, apart by their top bits, so that each part fits in memory.

    10^8 numbers are 800 MB of disk; a part of them is 3 MB. The file has no name and is gone with the process.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._buffers = [array("Q") for _ in range(PARTITIONS)]
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(PARTITIONS)]
        self._end = 0

    def add(self, number: int) -> None:
        """Append a number to its part.

        Raises:
            StorageError: If the temporary file cannot be written.
        """
        part = number >> 56
        buffer = self._buffers[part]
        buffer.append(number)
        if len(buffer) >= BUFFER_IDS:
            self._write(part, buffer.tobytes())
            del buffer[:]

    def repeated(self) -> Iterator[int]:
        """Numbers that were added more than once."""
        for part in range(PARTITIONS):
            numbers = sorted(self._part(part))
            for one, other in pairwise(numbers):
                if one == other:
                    yield one

    def close(self) -> None:
        """Let the temporary file go."""
        if self._file is not None:
            self._file.close()

    def _write(self, part: int, data: bytes) -> None:
        try:
            self._file = self._file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
            self._file.seek(self._end)
            written = self._file.write(data)
        except OSError as error:
            raise _no_room(str(error.strerror)) from error
        if written != len(data):  # unbuffered: a full disk takes a part and reports nothing
            raise _no_room("disk full")
        self._pieces[part].append((self._end, len(data)))
        self._end += len(data)

    def _part(self, part: int) -> Iterable[int]:
        numbers = array("Q", self._buffers[part])
        for offset, size in self._pieces[part]:
            if self._file is not None:
                self._file.seek(offset)
                numbers.frombytes(self._file.read(size))
        return numbers


class Duplicates:
    """Ids seen so far, by their 64-bit hash.

    Up to ``IDS_IN_MEMORY_MAX`` ids a repetition is found at once, in 16 MB (24 while the table grows). Above, the hashes
    go to a temporary file in 256 parts, and repetitions are found at the end of the scan, one part in memory at a time.

    A hash proves nothing: an answer here is a suspicion, and whoever asks reads the rows again to confirm it and to
    find the first line. That pass costs time only when there is a duplicate (the hash is Python's own, 64 bits with a
    key that changes with the process: at 10^7 ids a false suspicion has a chance of 3 in a million).
    """

    def __init__(self, *, in_memory_max: int = IDS_IN_MEMORY_MAX) -> None:
        self._in_memory_max = in_memory_max
        self._table = HashTable()
        self._spilled: Partitions | None = None

    def suspects(self, own: str) -> bool:
        """Take in an id; whether it probably stood before.

        Raises:
            StorageError: If the temporary file cannot be written.
        """
        number = hash_of(own)
        if self._spilled is not None:
            self._spilled.add(number)
            return False
        known = self._table.add(number)
        if self._table.count >= self._in_memory_max:
            self._spill()
        return known

    def repeated(self) -> set[int]:
        """At the end: hashes that were found only in the temporary file; ask ``hash_of`` of each id which it was.

        The set is cut at 1,000: one is enough to refuse the input.
        """
        found: set[int] = set()
        if self._spilled is not None:
            for number in self._spilled.repeated():
                found.add(number)
                if len(found) >= 1000:  # noqa: PLR2004  said above
                    break
        return found

    def close(self) -> None:
        """Let the temporary file go."""
        if self._spilled is not None:
            self._spilled.close()

    def _spill(self) -> None:
        self._spilled = Partitions()
        for number in self._table:
            self._spilled.add(number)
        self._table = HashTable()


def hash_of(own: str) -> int:
    """64 bits of an id, never 0."""
    return hash(own) & 0xFFFF_FFFF_FFFF_FFFF or 1


def _no_room(reason: str) -> StorageError:
    return StorageError(
        f"{tempfile.gettempdir()}: the hashes of the ids cannot be kept: {reason}",
        hint="Name a folder with room in TMPDIR; 8 bytes an id are needed.",
    )
