"""Promises: whether journal, input and output of a batch agree."""

from __future__ import annotations

import filecmp
import tempfile
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.client.batch import BATCH, write_output
from arriero.client.finding import Finding, all_well, finding_lines
from arriero.client.reading import journal_path, resume_settings, stored_source
from arriero.config.formats import output_paths
from arriero.core.batch import BatchStatus
from arriero.errors import ArrieroError
from arriero.journal.check import check
from arriero.journal.lock import holder
from arriero.journal.reader import JournalReader
from arriero.outputs.join import join
from arriero.outputs.partial import partial_path


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked and whether all of it holds."""

    ok: bool
    promises: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """A line a promise."""
        return finding_lines(self.promises)


def verify(output: str, journal: str | None) -> Verification:
    """Check the journal in itself, against the input (P8), and the output against both (P5).

    While a batch runs, and after a process that was killed, there is no output to compare.

    Args:
        output: The output of a run.
        journal: Its journal, if elsewhere.

    Raises:
        ConfigError: If there is no journal.
    """
    path = journal_path(output, journal)
    with JournalReader(path) as reader:
        promises = [Finding(name=one.name, ok=one.ok, text=one.text) for one in check(reader)]
    promises.append(_input(output, path))
    promises.append(_output(output, path))
    return Verification(ok=all_well(promises), promises=tuple(promises))


def _input(output: str, path: str) -> Finding:
    """Every answered row is still in the input, unchanged."""
    try:
        settings = resume_settings(output, path)
        with JournalReader(path) as reader:
            rows = sum(1 for _ in join(stored_source(settings).rows(), reader.results(BATCH)))
    except ArrieroError as error:
        return Finding(name="input", ok=False, text=error.message)
    return Finding(name="input", ok=True, text=f"{rows:,} answered rows are in {settings.input}, unchanged")


def _output(output: str, path: str) -> Finding:
    """The output is what the journal and the input give, to the byte."""
    try:
        settings = resume_settings(output, path)
        held = holder(Path(path)) is not None  # asked first: whoever has left has said how it ended
        with JournalReader(path) as reader:
            status = reader.batch(BATCH).status
        complete = status is BatchStatus.FINISHED
        if held or status is BatchStatus.RUNNING:
            return _unwritten(held=held)
        if settings.unordered or settings.output == "-":
            return Finding(name="output", ok=True, text="has the order in which results came; not compared")
        with tempfile.TemporaryDirectory(prefix="arriero-verify-") as folder:
            again = structs.replace(settings, output=str(Path(folder) / Path(output).name))
            write_output(again, stored_source(settings), complete=True)
            pairs = zip(
                output_paths(settings.output, settings.output_format),
                output_paths(again.output, settings.output_format),
                strict=True,
            )
            wanted = [(old if complete else partial_path(old), new) for old, new in pairs]
            if not complete and not any(old.exists() for old, _ in wanted):
                return _unwritten(held=False)
            return _compare(wanted)
    except ArrieroError as error:
        return Finding(name="output", ok=False, text=error.message)


def _unwritten(*, held: bool) -> Finding:
    text = "not written yet: it is written when the batch ends"
    return Finding(name="output", ok=None, text=text if held else f"{text}; run the same command again")


def _compare(pairs: list[tuple[Path, Path]]) -> Finding:
    for old, new in pairs:
        if not old.exists():
            return Finding(name="output", ok=False, text=f"{old} is missing; run the same command again to write it")
        if not filecmp.cmp(old, new, shallow=False):
            return Finding(name="output", ok=False, text=f"{old} differs from what the journal and the input give")
    names = ", ".join(str(old) for old, _ in pairs)
    return Finding(name="output", ok=True, text=f"{names}: exactly what the journal and the input give")
