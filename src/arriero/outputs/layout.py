"""Layout: which files a format has, what stands around their records, and how a row becomes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from arriero.config.settings import OutputFormat
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.openai import Clocks, batch_line
from arriero.outputs.partial import ARRAY, LINES, Frame
from arriero.outputs.prompt import Prompt
from arriero.outputs.record import record_bytes


class Layout(NamedTuple):
    """One format.

    Attributes:
        frame: What stands around the records of each file.
        split: Failures go to the second file of ``output_paths``.
        encode: A row and how it ended as a record.
    """

    frame: Frame
    split: bool
    encode: Callable[[Row | BadRow, StoredResult, Prompt, Clocks], bytes]


def layout(output_format: OutputFormat) -> Layout:
    """The layout of a format."""
    return _LAYOUTS[output_format]


def _indented(row: Row | BadRow, stored: StoredResult, prompt: Prompt, _clocks: Clocks) -> bytes:
    """An element of the array: indented inside an array of its own, whose brackets are taken off again."""
    alone = b"".join((b"[", record_bytes(row, stored, prompt(row)), b"]"))
    return msgspec.json.format(alone, indent=2)[len(ARRAY.opening) : -len(ARRAY.closing.rstrip())]


def _compact(row: Row | BadRow, stored: StoredResult, prompt: Prompt, _clocks: Clocks) -> bytes:
    return record_bytes(row, stored, prompt(row))


def _batch_line(row: Row | BadRow, stored: StoredResult, _prompt: Prompt, clocks: Clocks) -> bytes:
    return batch_line(row, stored, clocks)


_LAYOUTS: dict[OutputFormat, Layout] = {
    "json": Layout(frame=ARRAY, split=False, encode=_indented),
    "jsonl": Layout(frame=LINES, split=False, encode=_compact),
    "openai": Layout(frame=LINES, split=True, encode=_batch_line),
}
