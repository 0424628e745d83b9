"""Summary: how a run ended, for a person and for a program."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arriero.client.batch import batch_words
from arriero.config.formats import default_journal
from arriero.config.settings import Settings
from arriero.core.batch import BatchStatus
from arriero.monitor.snapshot import Snapshot
from arriero.monitor.summary import resume_hint, summary

EXIT_OK = 0
EXIT_SOME_FAILED = 3
EXIT_BUDGET = 4
EXIT_NO_INSTANCE = 5
EXIT_INTERRUPTED = 130


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``run`` tells at its end.

    Attributes:
        exit_code: As ``docs/reliability.md`` lists them.
        reason: Why it ended before its time; ``""`` if it did not.
        written: Files that hold the results.
        resume: The command that goes on, as words; empty if there is nothing to go on with.
        snapshot: The numbers.
        text: The lines for a person.
    """

    exit_code: int
    reason: str
    written: tuple[str, ...]
    resume: tuple[str, ...]
    snapshot: Snapshot
    text: tuple[str, ...]

    def lines(self) -> list[str]:
        """The lines for a person."""
        return list(self.text)


def summarize(
    settings: Settings,
    snapshot: Snapshot,
    *,
    exit_code: int,
    reason: str,
    written: Sequence[str],
    said: Sequence[str] = (),
    unread: bool = False,
) -> Summary:
    """Put the end of a run into words.

    Args:
        settings: The batch's.
        snapshot: The last one, after the last commit.
        exit_code: As decided.
        reason: Why it ended before its time.
        written: Files that hold the results now.
        said: Further notes.
        unread: Nobody read standard output to its end.
    """
    ended = snapshot.state == BatchStatus.FINISHED and not unread
    resume = () if ended or settings.function else resume_command(settings)
    kept = not ended or (settings.output, settings.journal) != ("-", default_journal("-"))
    lines = summary(
        snapshot,
        target=batch_words(settings) if kept else (),
        written=written,
        concurrency=settings.concurrency,
        said=said,
    )
    if reason:
        lines.append(f"{'stopped':<11}{reason}")
    if resume:
        if settings.output == "-":
            lines.append(f"{'journal':<11}{settings.journal} keeps what has ended")
        lines.append(resume_hint(resume))
    return Summary(
        exit_code=exit_code,
        reason=reason,
        written=tuple(written),
        resume=resume,
        snapshot=snapshot,
        text=tuple(lines),
    )


def resume_command(settings: Settings) -> tuple[str, ...]:
    """The command that goes on with the batch of these settings."""
    return ("arriero", "resume", *batch_words(settings))
