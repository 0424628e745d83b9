"""Export: rows and results written in input order, in one pass, with flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from arriero.config.formats import output_paths
from arriero.config.settings import OutputFormat
from arriero.core.outcome import Success
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.join import join
from arriero.outputs.layout import Layout, layout
from arriero.outputs.openai import UNKNOWN, Clocks
from arriero.outputs.partial import PartialFile, StreamFile
from arriero.outputs.prompt import Prompt, prompt_of


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        paths: The files that hold it now; none for a stream.
        rows: Rows written.
        succeeded: Answers among them.
        failed: Failures among them.
    """

    paths: tuple[Path, ...]
    rows: int
    succeeded: int

    @property
    def failed(self) -> int:
        """Failures among the rows written."""
        return self.rows - self.succeeded


def export(
    output: str,
    output_format: OutputFormat,
    rows: Iterable[Row | BadRow],
    results: Iterable[StoredResult],
    *,
    complete: bool,
    prompt: Prompt = prompt_of,
    clocks: Clocks = UNKNOWN,
) -> Exported:
    """Write every row that has ended to the output's files.

    The bytes are a function of rows, results and format: written twice they are the same (P5). Memory does not grow with
    the rows (P7).

    Args:
        output: Path of the output.
        output_format: Its format.
        rows: The input, by position from 0.
        results: The journal's, by position; rows without are left out.
        complete: Whether the batch has ended: the files get their names only then. Otherwise they stay whole and
            valid as ``NAME.partial``.
        prompt: What was sent for a row, where a template made it.
        clocks: ``session_clocks`` of the journal, for ``created`` in ``openai``.

    Raises:
        BindingError: If the input is not the one that was answered.
        OutputError: If something is in the way.
        StorageError: If the disk is full or fails; ``NAME.partial`` then ends with a whole record.
    """
    form = layout(output_format)
    files = [PartialFile(path, form.frame) for path in output_paths(output, output_format)]
    try:
        for file in files:
            file.open()
        counted, succeeded = _write(files, form, join(rows, results), prompt, clocks)
        paths = [file.publish() if complete else file.end() for file in reversed(files)]  # the answers last
    finally:
        for file in files:
            file.close()
    return Exported(paths=tuple(reversed(paths)), rows=counted, succeeded=succeeded)


def export_stream(
    stream: BinaryIO,
    output_format: OutputFormat,
    rows: Iterable[Row | BadRow],
    results: Iterable[StoredResult],
    *,
    prompt: Prompt = prompt_of,
    clocks: Clocks = UNKNOWN,
) -> Exported:
    """The same to a stream such as standard output (``-o -``); ``openai`` mixes both kinds of line in input order.

    Raises:
        BindingError: If the input is not the one that was answered.
        OSError: As the stream does; ``BrokenPipeError`` when the reader has enough.
    """
    form = layout(output_format)
    sink = StreamFile(stream, form.frame)
    counted, succeeded = _write((sink, sink), form, join(rows, results), prompt, clocks)
    sink.end()
    return Exported(paths=(), rows=counted, succeeded=succeeded)


class _Sink(Protocol):
    def append(self, record: bytes) -> None: ...


def _write(
    sinks: Sequence[_Sink],
    form: Layout,
    pairs: Iterable[tuple[Row | BadRow, StoredResult]],
    prompt: Prompt,
    clocks: Clocks,
) -> tuple[int, int]:
    counted = succeeded = 0
    for row, stored in pairs:
        answered = isinstance(stored.outcome, Success)
        sinks[form.split and not answered].append(form.encode(row, stored, prompt, clocks))
        counted += 1
        succeeded += answered
    return counted, succeeded
