"""Reading: status, results and errors of a batch from its journal, and with what it goes on: settings, a new round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import structs

from arriero.client.batch import BATCH, near, prompt_for, spool_path
from arriero.client.next_step import next_step
from arriero.config.formats import default_journal, output_paths
from arriero.config.settings import Settings
from arriero.core.batch import BatchStatus
from arriero.core.outcome import Failure, FailureKind
from arriero.errors import ConfigError, StorageError
from arriero.inputs.row import Row
from arriero.inputs.source import FileSource, Source
from arriero.journal.faults import damaged
from arriero.journal.lock import holder
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry as open_round
from arriero.journal.salvage import Salvage
from arriero.journal.stored import StoredResult
from arriero.monitor.safe import safe_text
from arriero.monitor.snapshot import Snapshot, at_rest
from arriero.monitor.words import plural
from arriero.outputs.join import join
from arriero.outputs.record import record_bytes

T = TypeVar("T")
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


def journal_path(output: str, journal: str | None) -> str:
    """The journal of an output.

    Raises:
        ConfigError: If there is none.
    """
    names = [journal] if journal else [default_journal(name) for name in _names(output)]
    for path in names:
        if Path(path).exists() and (path == names[0] or _writes(path, output)):
            return path
    raise ConfigError(
        f"there is no journal {names[0]}",
        hint="name the output of a run, or its journal with --journal PATH",
    )


def _names(output: str) -> list[str]:
    """What ``-o`` may have been for this file: ``--format openai -o v.json`` writes v.jsonl and v.errors.jsonl."""
    stem = output.removesuffix(".jsonl").removesuffix(".errors")
    return [output] if stem == output else [output, f"{stem}.json", f"{stem}.jsonl", stem]


def _writes(journal: str, output: str) -> bool:
    """Whether the batch of a journal writes a file of this name."""
    with JournalReader(journal) as reader:
        settings = _decoded(journal, "the settings", reader.settings(), Settings)
    return _named(settings, output) != output


def _named(settings: Settings, output: str) -> str:
    """The output as ``-o`` named it, where a file of it is named; else as it is."""
    written = [path.name for path in output_paths(settings.output, settings.output_format)]
    path = Path(output)
    return str(path.with_name(Path(settings.output).name)) if path.name in written and output != "-" else output


def resume_settings(output: str, journal: str | None) -> Settings:
    """The settings that a batch was last run with.

    Raises:
        ConfigError: If there is no journal.
        StorageError: If it cannot be read, or was written by another version.
    """
    path = journal_path(output, journal)
    with JournalReader(path) as reader:
        settings = _decoded(path, "the settings", reader.settings(), Settings)
    named = _named(settings, output)
    if not settings.input:
        raise ConfigError(
            f"{path} is the journal of a Python stream, whose items only its program has",
            hint="call arriero.map or Client.stream with the same items and this journal again",
        )
    return structs.replace(settings, input=near(settings.input), output=named, journal=path, force=False)


def _decoded(path: str, what: str, text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise StorageError(f"{what} in {path} are of another version of arriero ({error})") from error
    except (ValueError, TypeError) as error:
        raise damaged(Path(path), f"{what} cannot be read") from error


def stored_source(settings: Settings) -> Source:
    """The input of a batch that was run before: the file, or the copy of standard input.

    Raises:
        InputError: If it is gone.
    """
    path = spool_path(settings) if settings.input == "-" else settings.input
    return FileSource.open(path, settings.input_format, name=settings.input, templated=settings.prompt is not None)


def status(output: str, journal: str | None) -> Snapshot:
    """How a batch stands, by what is committed; works while another process carries it out.

    That process keeps its snapshot in the journal every other second; where it is gone, what ran with it is over.
    """
    path = journal_path(output, journal)
    with JournalReader(path) as reader:
        text = reader.snapshot(BATCH)
        snapshot = _decoded(path, "the numbers", text or b'{"state": "", "counts": {}}', Snapshot)
        counts, state = reader.counts(BATCH), reader.batch(BATCH).status
        failures = reader.failure_kinds(BATCH)
    if holder(Path(path)) is None:
        state = BatchStatus.STOPPED if state is BatchStatus.RUNNING else state
        return structs.replace(at_rest(snapshot), state=state.value, counts=counts, failures=failures)
    counts.running = min(snapshot.counts.running, counts.waiting)
    counts.waiting -= counts.running
    return structs.replace(snapshot, counts=counts, failures=failures)


def results(output: str, journal: str | None, *, salvage: bool, only: str | None) -> Iterator[bytes]:
    """Lines of jsonl of what has ended, in input order; with ``salvage`` newest first and without prompts."""
    path = journal_path(output, journal)
    if salvage:
        for stored in Salvage(path).results():
            if _wanted(stored, only):
                yield _bare(stored)
        return
    settings = resume_settings(output, journal)
    prompt = prompt_for(settings)
    with JournalReader(path) as reader:
        for row, stored in join(stored_source(settings).rows(), reader.results(BATCH)):
            if _wanted(stored, only):
                yield record_bytes(row, stored, prompt(row))


def failed_rows(output: str, journal: str | None, kind: str | None) -> Iterator[bytes]:
    """The rows that failed, as jsonl that another batch can have as its input; bad lines are no rows.

    Raises:
        ConfigError: If there is no such kind.
    """
    wanted = _kinds((kind,) if kind else None)
    settings = resume_settings(output, journal)
    with JournalReader(settings.journal) as reader:
        for row, stored in join(stored_source(settings).rows(), reader.failures(BATCH)):
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


def _wanted(stored: StoredResult, only: str | None) -> bool:
    return only is None or stored.succeeded == (only == "succeeded")


def _bare(stored: StoredResult) -> bytes:
    """A salvaged result: the journal does not hold the prompt."""
    return msgspec.json.encode(
        {
            "position": stored.position,
            "id": stored.id,
            "response": stored.text,
            "status": "success" if stored.succeeded else "failed",
            "model": stored.model,
            "instance": stored.instance,
        }
    )


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
