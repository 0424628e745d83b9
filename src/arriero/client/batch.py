"""BatchFiles: a batch's input, journal and output, opened, checked against one another, and written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from arriero.config.broker import without_password
from arriero.config.formats import default_journal
from arriero.config.settings import Settings
from arriero.core.batch import Counts
from arriero.core.request import BatchId
from arriero.errors import BindingError, StorageError
from arriero.inputs.bind import Binder
from arriero.inputs.binding import binding
from arriero.inputs.feed import Feed
from arriero.inputs.merge import Held
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.inputs.spool import spool
from arriero.journal.faults import damaged
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult
from arriero.outputs.claim import Aside, claim
from arriero.outputs.follow import Follow
from arriero.outputs.prompt import Prompt, prompt_of, templated

BATCH: BatchId = 1
"""A journal of the command line holds one batch."""

SCAN_WAIT_S = 2.0
"""Sending waits that long for the whole scan, then follows behind it (``docs/architecture.md``, step 2)."""

SCAN_WAIT_RESUMED_S = 1.0
"""The same on a resume, whose input was looked at before."""


class BatchFiles:
    """Everything of a batch that lies on disk.

    Args:
        settings: Checked settings, the model resolved.
        again: The rows of standard input (or of a list) are kept already: it is not read anew.
        command: The command line, clean of keys.
        on_progress: Called by the scan's thread when there is more to send.
    """

    def __init__(self, settings: Settings, *, again: bool, command: str, on_progress: Callable[[], None]) -> None:
        self.settings = settings
        self._on_progress = on_progress
        self.binder = Binder.of(settings)
        # A missing file must leave nothing behind; the copy of standard input may be made only by who owns the journal.
        source = None if settings.input == "-" else open_source(settings, again=again)
        self.former_input = former_input(settings)
        self.journal = self._open_journal(command)
        with ExitStack() as unless_opened:
            unless_opened.callback(self.journal.withdraw)
            self.source = source or open_source(settings, again=again)
            unless_opened.pop_all()
        self.scan = Scan(
            self.source,
            self.binder,
            finished=self.journal.hashes(),
            held=Held(settings.output, settings.journal, self.former_input, batch_words(settings)),
            stop_at_bad=settings.on_bad_line == "stop",
            first=settings.first,
            previous_total=self.journal.total,
            on_progress=self._progressed,
        )

    def _open_journal(self, command: str) -> Journal:
        settings = self.settings
        try:
            return Journal.open(
                settings.journal,
                batch=BATCH,
                binding=binding(settings),
                command=command.replace(settings.broker, without_password(settings.broker))
                if settings.broker
                else command,
                settings=msgspec.json.encode(
                    structs.replace(
                        settings, input=absolute_input(settings.input), broker=without_password(settings.broker)
                    )
                ),
            )
        except BindingError as error:
            if not self.former_input:
                raise
            raise BindingError(
                f"{error.message}\n  input: was {self.former_input}, is {settings.input}", hint=error.hint
            ) from error

    def _progressed(self) -> None:
        """In the scan's thread: at its end the rows are known to be the batch's."""
        if self.scan.total is not None:
            try:
                self.source.accept()
            except StorageError as error:
                self.scan.error = error
        self._on_progress()

    def begin(self) -> None:
        """Scan ahead.

        Raises:
            InputError: If the scan met a bad line within the time it is waited for.
            BindingError: If it met a row that has changed.
        """
        self.scan.start()
        if (
            self.scan.wait(SCAN_WAIT_RESUMED_S if len(self.journal.done) else SCAN_WAIT_S)
            and self.scan.error is not None
        ):
            raise self.scan.error

    def feed(self) -> Feed:
        """What is to be sent."""
        return Feed(
            self.source,
            self.binder,
            self.scan,
            done=self.journal.done,
            attempts_used=self.journal.attempts_used,
            batch=BATCH,
            round_number=self.journal.round,
        )

    @property
    def all_ended(self) -> bool:
        """Whether the scan is over and no row waits."""
        return self.scan.total is not None and len(self.journal.done) >= self.scan.total

    def restored(self) -> tuple[Counts, dict[str, int]]:
        """What had ended before: the counts, and the failures by kind."""
        done = self.journal.done
        with JournalReader(self.journal.path) as reader:
            kinds = reader.failure_kinds(BATCH)
        return Counts(total=self.scan.total, succeeded=done.succeeded, failed=done.failed), kinds

    def follow(self) -> Follow | None:
        """The output that grows while the batch runs (``--unordered``); None without it."""
        if not self.settings.unordered:
            return None
        follow = Follow(Path(self.settings.output), self.source.rows, prompt=prompt_for(self.settings))
        follow.start(self._kept if len(self.journal.done) else None, self.journal.done)
        return follow

    def _kept(self) -> Iterator[StoredResult]:
        with JournalReader(self.journal.path) as reader:
            yield from reader.results(BATCH)

    def close(self, snapshot: Callable[[], bytes] | None = None) -> None:
        """End the scan, commit what is queued, give the journal back.

        Args:
            snapshot: Asked for the last numbers once everything is committed.

        Raises:
            StorageError: If something that was recorded could not be kept.
        """
        self.scan.stop()
        self.journal.close(snapshot)

    def withdraw(self) -> None:
        """``close`` where the batch could not begin or go on: what this run alone has made is removed again.

        Raises:
            StorageError: As ``close`` does.
        """
        self.scan.stop()
        before = self.journal.closed
        gone = self.journal.withdraw()
        if not before and (gone or self.scan.error is not None):
            self.source.discard(whole=gone)
        if gone and self.settings.input == "-":
            Path(spool_path(self.settings)).unlink(missing_ok=True)

    def remove(self) -> None:
        """The output went to standard output, whole: nothing will be asked for again."""
        if self.settings.journal == default_journal(self.settings.output):
            Path(self.settings.journal).unlink(missing_ok=True)
            if self.settings.input == "-":
                Path(spool_path(self.settings)).unlink(missing_ok=True)

    def release(self) -> None:
        """Close the input; nothing can be read any more."""
        self.source.close()


def open_source(settings: Settings, *, again: bool) -> FileSource:
    """The input of a batch.

    Args:
        settings: Which file; ``-`` is standard input, kept beside the journal.
        again: It is a resume: nothing is piped in a second time.

    Raises:
        InputError: If it cannot be opened.
        StorageError: If standard input cannot be kept.
    """
    templated_rows = settings.prompt is not None
    if settings.input == "-":
        stdin = None if again else sys.stdin.fileno()
        return spool(stdin, spool_path(settings), settings.input_format, templated=templated_rows)
    return FileSource.open(settings.input, settings.input_format, templated=templated_rows)


def absolute_input(path: str) -> str:
    """An input as a journal keeps it, so that it is found from any folder; ``-`` stays."""
    return path if path == "-" else str(Path(path).absolute())


def near(path: str) -> str:
    """A path as short as it can be said from the working directory."""
    found, here = Path(path), Path.cwd()
    return str(found.relative_to(here)) if found.is_absolute() and found.is_relative_to(here) else path


def former_input(settings: Settings) -> str:
    """The input that the journal's batch had, where it is another file than now; else ``""``."""
    if settings.force or not Path(settings.journal).exists():
        return ""
    try:
        with JournalReader(settings.journal) as reader:
            kept = msgspec.json.decode(reader.settings(), type=dict[str, Any])
    except (StorageError, msgspec.DecodeError):
        return ""  # whoever opens it for writing says what is wrong
    before = str(kept.get("input") or settings.input)
    if absolute_input(before) == absolute_input(settings.input):
        return ""
    return "standard input" if before == "-" else near(before)


def batch_words(settings: Settings) -> tuple[str, ...]:
    """What names a batch behind a command: its output, and its journal where that lies elsewhere."""
    if settings.journal == default_journal(settings.output):
        return (settings.output,)
    return (settings.output, "--journal", settings.journal)


def spool_path(settings: Settings) -> str:
    """Where standard input is kept."""
    return f"{settings.journal}.input"


def claim_output(settings: Settings) -> tuple[Aside, ...]:
    """Make sure the output may be written; see ``outputs.claim``."""
    return claim(
        settings.output,
        settings.output_format,
        journal=Path(settings.journal),
        force=settings.force,
        beside=[Path(spool_path(settings))] if settings.input == "-" else [],
    )


def with_stored_models(settings: Settings) -> Settings:
    """A resume without ``-m`` goes on with the model that the journal was bound to."""
    if settings.models or settings.force or not Path(settings.journal).exists():
        return settings
    try:
        with JournalReader(settings.journal) as reader:
            stored = reader.binding(BATCH).get("model", "") if BATCH in reader.batches() else ""
        models = msgspec.json.decode(stored, type=list[str]) if stored else []
    except StorageError:
        return (
            settings  # killed while it was made: nothing is kept; else whoever opens it for writing says what is wrong
        )
    except msgspec.DecodeError as error:  # without the model nobody else may say it
        raise damaged(Path(settings.journal), "the model that it is bound to cannot be read") from error
    return structs.replace(settings, models=tuple(models)) if models else settings


def prompt_for(settings: Settings) -> Prompt:
    """What the output shows as a row's prompt."""
    template = Binder.of(settings).template
    return prompt_of if template is None else templated(template)
