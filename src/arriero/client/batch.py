"""BatchFiles: a batch's input, journal and output, opened, checked against one another, and written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.config.settings import Settings
from arriero.core.batch import Counts
from arriero.core.request import BatchId
from arriero.errors import StorageError
from arriero.inputs.bind import Binder
from arriero.inputs.binding import binding
from arriero.inputs.feed import Feed
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource, Source
from arriero.inputs.spool import spool
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.outputs.claim import Aside, claim
from arriero.outputs.export import Exported, export, export_stream
from arriero.outputs.follow import Follow
from arriero.outputs.openai import session_clocks
from arriero.outputs.prompt import Prompt, prompt_of, templated

BATCH: BatchId = 1
"""A journal of the command line holds one batch."""

SCAN_WAIT_S = 2.0
"""Sending waits that long for the whole scan, then follows behind it (DESIGN section 3)."""


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
        self.journal = Journal.open(
            settings.journal,
            batch=BATCH,
            binding=binding(settings),
            command=command,
            settings=msgspec.json.encode(settings),
        )
        with ExitStack() as unless_opened:
            unless_opened.callback(self.journal.close)
            self.source = source or open_source(settings, again=again)
            unless_opened.pop_all()
        self.scan = Scan(
            self.source,
            self.binder,
            finished=self.journal.hashes(),
            stop_at_bad=settings.on_bad_line == "stop",
            first=settings.first,
            previous_total=self.journal.total,
            on_progress=self._progressed,
        )

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
        if self.scan.wait(SCAN_WAIT_S) and self.scan.error is not None:
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
        with JournalReader(self.journal.path) as reader:
            follow.start(reader.results(BATCH), self.journal.done)
        return follow

    def close(self, snapshot: Callable[[], bytes] | None = None) -> None:
        """End the scan, commit what is queued, give the journal back.

        Args:
            snapshot: Asked for the last numbers once everything is committed.

        Raises:
            StorageError: If something that was recorded could not be kept.
        """
        self.scan.stop()
        self.journal.close(snapshot)

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
    with JournalReader(settings.journal) as reader:
        stored = reader.binding(BATCH).get("model", "") if BATCH in reader.batches() else ""
    return structs.replace(settings, models=tuple(msgspec.json.decode(stored, type=list[str]))) if stored else settings


def write_output(settings: Settings, source: Source, *, complete: bool) -> Exported:
    """Export the journal; see ``outputs.export``."""
    with JournalReader(settings.journal) as reader:
        rows, results = source.rows(), reader.results(BATCH)
        clocks = session_clocks(reader.sessions())
        prompt = prompt_for(settings)
        if settings.output == "-":
            return export_stream(sys.stdout.buffer, settings.output_format, rows, results, prompt=prompt, clocks=clocks)
        return export(
            settings.output,
            settings.output_format,
            rows,
            results,
            complete=complete,
            prompt=prompt,
            clocks=clocks,
        )


def prompt_for(settings: Settings) -> Prompt:
    """What the output shows as a row's prompt."""
    template = Binder.of(settings).template
    return prompt_of if template is None else templated(template)
