"""Reading: status and results of a batch from its journal, and the settings it goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import structs

from arriero.client.batch import BATCH, near, prompt_for, spool_path
from arriero.config.formats import default_journal, output_paths
from arriero.config.settings import Settings
from arriero.core.batch import BatchStatus
from arriero.errors import ConfigError, StorageError
from arriero.inputs.source import FileSource, Source
from arriero.journal.faults import damaged
from arriero.journal.lock import holder
from arriero.journal.reader import JournalReader
from arriero.journal.salvage import Salvage
from arriero.journal.stored import StoredResult
from arriero.monitor.snapshot import Snapshot, at_rest
from arriero.outputs.join import join
from arriero.outputs.record import record_bytes

T = TypeVar("T")


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


@contextmanager
def stored_source(settings: Settings) -> Iterator[Source]:
    """The input of a batch that was run before: the file, or the copy of standard input; closed when the block is left.

    Raises:
        InputError: If it is gone.
    """
    path = spool_path(settings) if settings.input == "-" else settings.input
    templated = settings.prompt is not None
    with closing(FileSource.open(path, settings.input_format, name=settings.input, templated=templated)) as source:
        yield source


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
    with JournalReader(path) as reader, stored_source(settings) as source:
        for row, stored in join(source.rows(), reader.results(BATCH)):
            if _wanted(stored, only):
                yield record_bytes(row, stored, prompt(row))


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
