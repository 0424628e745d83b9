"""Promises: whether journal, input and output of a batch agree."""

from __future__ import annotations

import filecmp
import hashlib
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.client.batch import BATCH
from arriero.client.finding import Finding, all_well, finding_lines
from arriero.client.output import write_output
from arriero.client.reading import journal_path, resume_settings, stored_source
from arriero.config.formats import output_paths
from arriero.config.settings import Settings
from arriero.core.batch import BatchStatus
from arriero.errors import ArrieroError, ConfigError
from arriero.journal.check import check
from arriero.journal.lock import holder
from arriero.journal.reader import JournalReader
from arriero.monitor.words import plural
from arriero.outputs.join import join
from arriero.outputs.partial import partial_path

OTHERS = 0o077
"""Permission bits of group and others."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked and whether all of it holds."""

    ok: bool
    promises: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """A line a promise."""
        return finding_lines(self.promises)


def verify(output: str, journal: str | None) -> Verification:
    """Check the journal in itself, against the input, and the output against both; ``docs/reliability.md`` has the promises.

    While a batch runs, and after a process that was killed, there is no output to compare.

    Args:
        output: The output of a run.
        journal: Its journal, if elsewhere.

    Raises:
        ConfigError: If there is no journal.
    """
    path = journal_path(output, journal)
    with JournalReader(path) as reader:
        promises = [Finding(**one._asdict()) for one in check(reader)]
        promises.append(_owner(reader))
    promises += _files(output, path)
    return Verification(ok=all_well(promises), promises=tuple(promises))


def _owner(reader: JournalReader) -> Finding:
    """No two processes wrote at the same time, as far as the wall clock tells."""
    sessions = reader.sessions()
    ended = [one.ended_wall_s or one.started_wall_s for one in sessions]
    overlap = any(later.started_wall_s < end for later, end in zip(sessions[1:], ended, strict=False))
    killed = sum(one.ended_wall_s is None for one in sessions) - (holder(reader.path) is not None)
    text = f"{plural(len(sessions), 'process', 'processes')}, one after another, {killed:,} killed"
    if overlap:
        text = "a process seems to have begun before another had ended: the wall clock was set, or two wrote at once"
    return Finding(promise="P9", name="owner", ok=None if overlap else True, text=text)


def _files(output: str, path: str) -> list[Finding]:
    """What the settings of the batch lead to: the modes of its files, its input and its output."""
    try:
        settings = resume_settings(output, path)
    except ConfigError as error:  # of a stream: only its program has the items
        return [
            _private(path, ()),
            _of_input(ok=None, text=error.message),
            _of_output(ok=None, text="a stream has none"),
        ]
    except ArrieroError as error:
        return [_private(path, ()), _of_input(ok=False, text=error.message), _of_output(ok=False, text=error.message)]
    named = output_paths(output, settings.output_format)
    return [_private(path, named), _input(settings), _output(settings, output)]


def _private(path: str, outputs: Sequence[Path]) -> Finding:
    """The files of the batch are for their owner only."""
    files = [Path(path + suffix) for suffix in ("", "-wal", "-shm", ".lock")]
    files += [file for name in outputs for file in (name, partial_path(name))]
    shared = [str(file) for file in files if file.exists() and file.stat().st_mode & OTHERS]
    text = f"others may read: chmod go= {shlex.join(shared)}" if shared else "the files are for their owner only"
    return Finding(promise="P12", name="private", ok=None if shared else True, text=text)


def _input(settings: Settings) -> Finding:
    """Every answered row is still in the input, unchanged."""
    try:
        with JournalReader(settings.journal) as reader, stored_source(settings) as source:
            rows = sum(1 for _ in join(source.rows(), reader.results(BATCH)))
    except ArrieroError as error:
        return _of_input(ok=False, text=error.message)
    return _of_input(ok=True, text=f"{rows:,} answered rows are in {settings.input}, unchanged")


def _of_input(*, ok: bool | None, text: str) -> Finding:
    return Finding(promise="P8", name="input", ok=ok, text=text)


def _output(settings: Settings, output: str) -> Finding:
    """The output is what the journal and the input give, to the byte."""
    try:
        held = holder(Path(settings.journal)) is not None  # asked first: whoever has left has said how it ended
        with JournalReader(settings.journal) as reader:
            status = reader.batch(BATCH).status
        complete = status is BatchStatus.FINISHED
        if held or status is BatchStatus.RUNNING:
            return _unwritten(held=held)
        if settings.output == "-":
            return _of_output(ok=None, text="went to standard output: nothing to compare")
        with tempfile.TemporaryDirectory(prefix="arriero-verify-") as folder:
            again = structs.replace(settings, output=str(Path(folder) / Path(output).name))
            with stored_source(settings) as source:
                write_output(again, source, complete=True)
            pairs = zip(
                output_paths(settings.output, settings.output_format),
                output_paths(again.output, settings.output_format),
                strict=True,
            )
            wanted = [(old if complete else partial_path(old), new) for old, new in pairs]
            if not complete and not any(old.exists() for old, _ in wanted):
                return _unwritten(held=False)
            return _compare(wanted, _same_lines if settings.unordered else _same_bytes)
    except ArrieroError as error:
        return _of_output(ok=False, text=error.message)


def _of_output(*, ok: bool | None, text: str) -> Finding:
    return Finding(promise="P5", name="output", ok=ok, text=text)


def _unwritten(*, held: bool) -> Finding:
    text = "not written yet: it is written when the batch ends"
    return _of_output(ok=None, text=text if held else f"{text}; run the same command again")


def _compare(pairs: list[tuple[Path, Path]], same: Callable[[Path, Path], bool]) -> Finding:
    for old, new in pairs:
        wrong = ""
        if not old.exists():
            wrong = f"{old} is missing; run the same command again to write it"
        elif not same(old, new):
            wrong = f"{old} differs from what the journal and the input give"
        if wrong:
            return _of_output(ok=False, text=wrong)
    names = ", ".join(str(old) for old, _ in pairs)
    return _of_output(ok=True, text=f"{names}: exactly what the journal and the input give")


def _same_bytes(old: Path, new: Path) -> bool:
    return filecmp.cmp(old, new, shallow=False)


def _same_lines(old: Path, new: Path) -> bool:
    """Whether two files hold the same lines as often, in whatever order; memory does not grow with them."""
    return _sum_of_lines(old) == _sum_of_lines(new)


def _sum_of_lines(file: Path) -> tuple[int, int]:
    """How many lines, and the sum of their hashes: the same for every order."""
    lines = total = 0
    with file.open("rb") as opened:
        for line in opened:
            lines += 1
            total += int.from_bytes(hashlib.blake2b(line, digest_size=16).digest(), "big")
    return lines, total
