"""Source: where rows come from; a file, or a Python sequence. Read many times, in order, from any mark."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, Self

from arriero.config.settings import InputFormat
from arriero.errors import InputError
from arriero.inputs.jsonl import own_id_of, parse_json
from arriero.inputs.lines import LINE_BYTES_MAX, AnyLine, Extent, FixedExtent, Mark, Overlong, read_lines
from arriero.inputs.row import BadRow, Row, row_hash
from arriero.inputs.txt import bad_row, hash_of_text, is_blank, parse_text

FileState = Literal["same", "grew", "shrank", "gone"]


class Source(Protocol):
    """Rows in order, twice and more: the scan reads them, the feed behind it, the output at the end.

    Attributes:
        name: What messages call it.
        anonymous: No row has an id of its own.
    """

    name: str
    anonymous: bool

    def lines(self, start: Mark | None = None) -> Iterator[AnyLine]:
        """Lines that are rows (no blank ones), from ``start`` on; the n-th has position ``start.position + n``."""
        ...

    def parse(self, position: int, line: AnyLine) -> Row | BadRow:
        """Make a row of a line; a function of the line's bytes."""
        ...

    def known(self, line: AnyLine) -> tuple[bytes, str | None]:
        """Hash and own id of a line that was a row before: what ``parse`` gives, in a third of its time."""
        ...

    def hash(self, line: AnyLine) -> bytes:
        """The hash alone; all that there is to know where rows are ``anonymous``."""
        ...

    def rows(self, start: Mark | None = None) -> Iterator[Row | BadRow]:
        """``parse`` of each of ``lines``."""
        ...

    def release(self) -> None:
        """Wake whoever waits for lines that have not come yet; they see an end."""
        ...


class FileSource:
    """Rows of one file, held open: a file renamed over it or removed while the batch runs changes nothing.

    Attributes:
        name: What messages call it.
        anonymous: No row has an id of its own: a line of text has none.
        input_format: ``txt`` or ``jsonl``.
        file: Open descriptor; ``close`` ends it.
        extent: How much of the file is the input.
        path: Where it lies, for ``state``.
        templated: A template makes the prompts, so that rows need none.
        line_bytes_max: A longer line is a bad row.
    """

    def __init__(
        self, name: str, input_format: InputFormat, file: int, extent: Extent, *, path: str, templated: bool = False
    ) -> None:
        self.name = name
        self.anonymous = input_format == "txt"
        self.input_format = input_format
        self.file = file
        self.extent = extent
        self.path = path
        self.templated = templated
        self.line_bytes_max = LINE_BYTES_MAX

    @classmethod
    def open(cls, path: str, input_format: InputFormat, *, name: str = "", templated: bool = False) -> Self:
        """Open a file and accept the length it has now.

        Raises:
            InputError: If it cannot be opened or is no regular file.
        """
        try:
            # A named pipe without a writer would block; a regular file does not know the flag.
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", hint="Name an existing input, or - for stdin.") from error
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise InputError(f"{path}: not a regular file", hint="Name a file, or pipe the rows in and name -.")
        return cls(name or path, input_format, file, FixedExtent(found.st_size), path=path, templated=templated)

    def lines(self, start: Mark | None = None) -> Iterator[AnyLine]:
        """Lines that are rows, from ``start`` on.

        Raises:
            InputError: While iterating: the file became shorter, or cannot be read.
        """
        for line in read_lines(self.name, self.file, self.extent, start=start, most=self.line_bytes_max):
            if not is_blank(line):
                yield line

    def parse(self, position: int, line: AnyLine) -> Row | BadRow:
        """Make a row of a line."""
        if isinstance(line, Overlong):
            return bad_row(position, line, 1, f"a line of {line.size_bytes} bytes; the most is {self.line_bytes_max}")
        if self.input_format == "txt":
            return parse_text(position, line)
        return parse_json(position, line, templated=self.templated)

    def known(self, line: AnyLine) -> tuple[bytes, str | None]:
        """Hash and own id of a line that was a row before."""
        own_id = None if self.anonymous or isinstance(line, Overlong) else own_id_of(line.text)
        return self.hash(line), own_id

    def hash(self, line: AnyLine) -> bytes:
        """Hash of a line that was a row before."""
        if isinstance(line, Overlong):
            return line.hash
        return hash_of_text(line) if self.anonymous else row_hash(line.text)

    def rows(self, start: Mark | None = None) -> Iterator[Row | BadRow]:
        """Rows in order, bad ones too."""
        for position, line in enumerate(self.lines(start), start.position if start else 0):
            yield self.parse(position, line)

    def state(self) -> FileState:
        """What became of the file since it was opened; told at the end of a batch."""
        size = self.extent.beyond(0)
        try:
            found = Path(self.path).stat()
        except OSError:
            return "gone"
        now = os.fstat(self.file)
        if (found.st_dev, found.st_ino) != (now.st_dev, now.st_ino):
            return "gone"
        return "same" if now.st_size == size else "grew" if now.st_size > size else "shrank"

    def accept(self) -> None:
        """The rows are those of the batch; nothing hangs on it where there is no copy of them to keep."""

    def discard(self, *, whole: bool) -> None:
        """The rows are not the batch's; nothing hangs on it where there is no copy of them."""

    def release(self) -> None:
        """Nobody ever waits: the file has its length."""

    def close(self) -> None:
        """Give the descriptor back; no rows can be read after that."""
        os.close(self.file)
