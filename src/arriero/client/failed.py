"""Failed: what failed in a batch and why, as its journal tells it, and the round in which it is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from arriero.client.batch import BATCH
from arriero.client.next_step import next_step
from arriero.client.reading import journal_path, resume_settings, stored_source
from arriero.config.formats import default_journal
from arriero.core.outcome import Failure, FailureKind
from arriero.errors import ConfigError
from arriero.inputs.row import Row
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry as open_round
from arriero.journal.stored import StoredResult
from arriero.monitor.safe import safe_text
from arriero.monitor.words import plural
from arriero.outputs.join import join

DETAIL_CHARS = 200
"""Of a server's own words, as much as a line of a terminal can show."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request that failed."""

    id: str
    position: int
    instance: str
    attempts: int
    detail: str


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that failed for one kind of reason; ``examples`` are the first ones, ``next`` is the command that helps."""

    kind: str
    count: int
    examples: tuple[Example, ...]
    next: str = ""


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """What failed for good, by kind; and the attempts that failed on the way, by kind."""

    failed: int
    groups: tuple[ErrorGroup, ...]
    attempts: dict[str, int]

    def lines(self) -> list[str]:
        """A block a kind."""
        if not self.failed:
            lines = ["no request has failed"]
        else:
            lines = []
            for group in self.groups:
                lines.append(f"{group.kind}  {group.count:,}")
                lines += [_example(example) for example in group.examples]
                lines += [f"  next: {safe_text(group.next)}"] if group.next else []
        if self.attempts:
            told = "   ".join(f"{kind} {count:,}" for kind, count in self.attempts.items())
            lines.append(f"attempts that failed on the way: {told}")
        return lines


def failed_rows(output: str, journal: str | None, kind: str | None) -> Iterator[bytes]:
    """The rows that failed, as jsonl that another batch can have as its input; bad lines are no rows.

    Raises:
        ConfigError: If there is no such kind.
    """
    wanted = _kinds((kind,) if kind else None)
    settings = resume_settings(output, journal)
    with JournalReader(settings.journal) as reader, stored_source(settings) as source:
        for row, stored in join(source.rows(), reader.failures(BATCH)):
            if isinstance(row, Row) and (wanted is None or stored.kind in wanted):
                yield _as_input(row, templated=settings.prompt is not None)


def _as_input(row: Row, *, templated: bool) -> bytes:
    """A row under the id that it has; a template may want a text row's ``text`` too."""
    if row.own_id is not None:
        return row.raw
    told = {**row.fields, "id": msgspec.Raw(msgspec.json.encode(row.id))}
    if row.is_text and not templated:
        del told["text"]
    return msgspec.json.encode(told)


def errors(output: str, journal: str | None, kind: str | None, show: int) -> Errors:
    """The failures by kind, with the servers' own words for the first of each.

    Raises:
        ConfigError: If there is no such kind.
    """
    wanted = _kinds((kind,) if kind else None)
    groups: dict[str, list[Example]] = {}
    with JournalReader(journal_path(output, journal)) as reader:
        counts = {
            name: count
            for name, count in reader.failure_kinds(BATCH).items()
            if wanted is None or FailureKind(name) in wanted
        }
        missing = {name: min(show, count) for name, count in counts.items()}
        for stored in reader.failures(BATCH):
            if not any(missing.values()):
                break
            if stored.kind is not None and missing.get(stored.kind, 0):
                missing[stored.kind] -= 1
                groups.setdefault(stored.kind, []).append(_as_example(stored))
        attempts = reader.attempt_kinds(BATCH)
    settings = resume_settings(output, journal)
    return Errors(
        failed=sum(counts.values()),
        groups=tuple(
            ErrorGroup(kind=name, count=count, examples=tuple(groups.get(name, ())), next=next_step(name, settings))
            for name, count in sorted(counts.items(), key=lambda item: -item[1])
        ),
        attempts=attempts,
    )


def retry(output: str, journal: str | None, kinds: Sequence[str] | None) -> int:
    """Let failed requests wait again, in a new round.

    Returns:
        How many.

    Raises:
        ConfigError: If a kind does not exist, or the batch cannot go on from here.
        HeldError: If a process carries the batch out.
    """
    settings = resume_settings(output, journal)  # a round that nobody can carry out is not opened
    return open_round(settings.journal, _kinds(kinds), batch=BATCH)


def retried(output: str, journal: str | None) -> bool:
    """Whether ``retry`` has opened a round; it may have been killed since, with rows that wait or an output of before."""
    with JournalReader(journal or default_journal(output)) as reader:
        return reader.batch(BATCH).round > 0


def _kinds(names: Sequence[str] | None) -> frozenset[FailureKind] | None:
    if names is None:
        return None
    known = {kind.value: kind for kind in FailureKind}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"there is no failure kind {unknown[0]!r}", hint=f"one of {', '.join(known)}")
    return frozenset(known[name] for name in names)


def _as_example(stored: StoredResult) -> Example:
    detail = stored.outcome.detail if isinstance(stored.outcome, Failure) else ""
    return Example(
        id=stored.id, position=stored.position, instance=stored.instance, attempts=stored.attempts, detail=detail
    )


def _example(example: Example) -> str:
    where = f" on {example.instance}" if example.instance else ""
    words = safe_text(example.detail, chars=DETAIL_CHARS)
    return (
        f"  id {safe_text(example.id)}{safe_text(where)}, {plural(example.attempts, 'attempt')}: {words or 'no words'}"
    )
