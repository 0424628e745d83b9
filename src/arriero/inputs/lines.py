"""Lines of a file: split at line feeds only, read in blocks, over-long ones hashed and let go."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Protocol, TypeAlias

import msgspec

from arriero.errors import InputError

LINE_BYTES_MAX = 16 * 1024 * 1024
"""A longer line is a bad line; its bytes are never held together."""

BLOCK_BYTES = 64 * 1024
BOM = b"\xef\xbb\xbf"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A place from which rows can be read again.

    Attributes:
        position: The row that comes next, from 0.
        line: Number of the line that comes next, from 1.
        offset: Where that line begins: a byte of the file, or an index of a sequence.
    """

    position: int = 0
    line: int = 1
    offset: int = 0


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line without its end; ``offset`` is where it begins, ``number`` counts from 1."""

    number: int
    offset: int
    text: bytes


class Overlong(msgspec.Struct, frozen=True, gc=False):
    """One line above ``LINE_BYTES_MAX``: its hash and size are all that is left of it."""

    number: int
    offset: int
    hash: bytes
    size_bytes: int


AnyLine: TypeAlias = Line | Overlong


class Extent(Protocol):
    """How much of a file belongs to the input."""

    def beyond(self, offset: int) -> int:
        """Bytes accepted so far; waits while a growing file has none after ``offset``. ``offset`` itself: the end."""
        ...


class FixedExtent(msgspec.Struct, frozen=True):
    """The length a file had when it was opened; what is appended later is not read."""

    size_bytes: int

    def beyond(self, offset: int) -> int:
        """The length, or ``offset`` at the end."""
        return max(self.size_bytes, offset)


class _Gathering:
    """The line whose end has not been read yet; bounded by ``most`` bytes."""

    def __init__(self, number: int, offset: int, most: int) -> None:
        self.number = number
        self.offset = offset
        self.most = most
        self.size = 0
        self.held = bytearray()
        self.digest: hashlib.blake2b | None = None

    def add(self, piece: bytes) -> None:
        """Take a piece of the line; above the bound only its hash goes on."""
        self.size += len(piece)
        self.held += piece
        if self.digest is None and len(self.held) > self.most + len(BOM) + 1:  # surely too long without BOM and \r
            if self.number == 1 and self.held.startswith(BOM):
                del self.held[: len(BOM)]
                self.size -= len(BOM)
            self.digest = hashlib.blake2b(digest_size=16)
        if self.digest is not None:
            # The last byte waits: it may be the \r that does not belong to the line.
            self.digest.update(memoryview(self.held)[:-1])
            self.held = self.held[-1:]

    def end(self) -> AnyLine:
        """The whole line, its end taken off."""
        if self.digest is None:
            return line_of(self.number, self.offset, bytes(self.held), self.most)
        if self.held == b"\r":
            self.size -= 1
        else:
            self.digest.update(self.held)
        return Overlong(self.number, self.offset, self.digest.digest(), self.size)


def line_of(number: int, offset: int, text: bytes, most: int = LINE_BYTES_MAX) -> AnyLine:
    """A line from its bytes before the line feed: one trailing carriage return goes, and a BOM on line 1."""
    if text.endswith(b"\r"):
        text = text[:-1]
    if number == 1 and text.startswith(BOM):
        text = text[len(BOM) :]
    if len(text) > most:
        return Overlong(number, offset, hashlib.blake2b(text, digest_size=16).digest(), len(text))
    return Line(number, offset, text)


def read_lines(
    name: str, file: int, extent: Extent, *, start: Mark | None = None, most: int = LINE_BYTES_MAX
) -> Iterator[AnyLine]:
    """Read lines in order.

    Args:
        name: What to call the file in an error.
        file: Open descriptor of a seekable file; its own position is neither used nor moved, so that several
            readers share it.
        extent: Where the input ends.
        start: Where to begin; None: at the first byte.
        most: Longest line in bytes that is held.

    Yields:
        Each line, blank ones too; nothing for an empty end of file.

    Raises:
        InputError: If the file is shorter than its extent, or cannot be read.
    """
    begin = start or Mark()
    number, offset, read = begin.line, begin.offset, begin.offset
    rest: _Gathering | None = None
    while (end := extent.beyond(read)) > read:
        block = _read(name, file, min(BLOCK_BYTES, end - read), read)
        pieces = block.split(b"\n")
        last = pieces.pop()
        at = read
        read += len(block)
        plain = len(block) <= most and b"\r" not in block
        for piece in pieces:
            if rest is None and plain and number > 1:
                yield Line(number, offset, piece)
            elif rest is None:
                yield line_of(number, offset, piece, most)
            else:
                rest.add(piece)
                yield rest.end()
                rest = None
            number += 1
            at += len(piece) + 1
            offset = at
        if last:
            rest = rest or _Gathering(number, offset, most)
            rest.add(last)
    if rest is not None:
        yield rest.end()


def _read(name: str, file: int, size: int, offset: int) -> bytes:
    try:
        block = os.pread(file, size, offset)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    if not block:
        raise InputError(
            f"{name}: became shorter while it was read (nothing at byte {offset})",
            hint="Put the input back as it was and run the same command again; finished rows are kept.",
        )
    return block
