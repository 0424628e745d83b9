"""What a Python program calls: run, map, and Client with stream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import structs

from arriero.client.answer import Answer, answer_of_line
from arriero.client.batch import claim_output, spool_path
from arriero.client.carry import run_batch
from arriero.client.control import Control
from arriero.client.reading import results
from arriero.client.stream import Streams, in_order
from arriero.client.summary import Summary
from arriero.client.threads import in_thread, serving, stream_in_thread
from arriero.config.fields import FIELDS
from arriero.config.load import load
from arriero.config.settings import InstanceConfig, Settings
from arriero.config.suggestion import did_you_mean
from arriero.core.instance import Instance
from arriero.engines.function import Function
from arriero.errors import ConfigError
from arriero.inputs.keep import keep_items
from arriero.inputs.sequence import Item

Fleet: TypeAlias = str | Path | Sequence[str] | None
"""URLs of instances, the path of a fleet file, or None for what the command line would use."""


class Batch:
    """A batch that was carried out; iterating gives its answers in input order.

    Attributes:
        summary: Counts, rates and exit code, as ``arriero run`` tells them.
    """

    def __init__(self, summary: Summary, output: str, journal: str) -> None:
        self.summary = summary
        self._output = output
        self._journal = journal

    @property
    def ok(self) -> bool:
        """Whether every request has an answer."""
        return self.summary.exit_code == 0

    def __iter__(self) -> Iterator[Answer]:
        for line in results(self._output, self._journal, salvage=False, only=None):
            yield answer_of_line(line)

    def __repr__(self) -> str:
        counts = self.summary.snapshot.counts
        return f"<arriero.Batch {self._output}: {counts.succeeded} succeeded, {counts.failed} failed>"


def run(
    input: str | Path | Sequence[Item],  # noqa: A002 - the word of the command line
    output: str | Path = "results.json",
    *,
    model: str | Callable[[Item], str] | None = None,
    fleet: Fleet = None,
    local: bool = False,
    system: str | None = None,
    prompt: str | None = None,
    options: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    backend: Function | None = None,
) -> Batch:
    """Carry out a batch like ``arriero run``, and block until it has ended; the same call again goes on with it.

    Works inside a running event loop (a notebook): the batch has a thread and a loop of its own. Ctrl-C drains it.

    Args:
        input: Path of a ``.txt`` or ``.jsonl`` file, or a list of prompts and rows.
        output: Path of the output; its journal lies beside it.
        model: The model; None: the row's, else the only one installed. With a list also a function that is given each
            item without a model of its own and returns one.
        fleet: Instances; None: as the command line finds them.
        local: Serve with the demonstration model.
        system: System prompt.
        prompt: Template with ``{field}`` places.
        options: Model options by their Ollama names.
        settings: Any other setting of ``run``, by its name in a fleet file (``concurrency``, ``retries`` …).
        backend: A function that answers in the place of a fleet: it is given each prompt (a ``Prompt``: a ``str`` that
            has the rest of the request as attributes) and returns the answer. It may block: each call has a thread.
            What it raises is a failure, and tried again.

    Raises:
        ArrieroError: If the batch cannot begin or go on; failures of requests are values.
        KeyboardInterrupt: After a Ctrl-C, when what ran has ended and is kept.
    """
    rows = input if isinstance(input, Sequence) and not isinstance(input, str) else None
    if callable(model):
        rows, model = _chosen(rows, model), None
    given = _given(model=model, fleet=fleet, local=local, system=system, prompt=prompt, options=options)
    given |= {"output": str(output), **_known(settings)}
    given |= {"input": str(input)} if rows is None else {"input": "-", "input_format": "jsonl"}
    checked = load(given, os.environ, Path.cwd()) if backend is None else _answered_by(backend, given)
    if rows is not None:
        if checked.force:  # the copy of the older list moves aside too, before this one is kept
            claim_output(checked)
            checked = structs.replace(checked, force=False)
        keep_items(rows, spool_path(checked))
    control = Control()
    summary = in_thread(
        lambda: run_batch(checked, control=control, again=rows is not None, function=backend),
        on_interrupt=control.drain,
    )
    return Batch(summary, checked.output, checked.journal)


def map(  # noqa: A001 - it is the map of a fleet
    items: Iterable[Item],
    *,
    model: str | None = None,
    fleet: Fleet = None,
    local: bool = False,
    system: str | None = None,
    prompt: str | None = None,
    options: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    journal: str | Path | None = None,
) -> Iterator[Answer]:
    """Answers of an iterable of any length, in its order; memory is bounded, and nothing is kept without a journal.

    Args:
        items: Prompts, or rows like those of a jsonl file; read in another thread, only as far ahead as needed.
        model: See ``run``; so are all others.
        fleet: See ``run``.
        local: See ``run``.
        system: See ``run``.
        prompt: See ``run``.
        options: See ``run``.
        settings: See ``run``.
        journal: Path of a journal that keeps every answer; the same items again are answered from it, and only the
            others are sent.

    Raises:
        ArrieroError: If the fleet cannot serve, or the journal is of other items or cannot keep what comes.
    """
    given = _given(model=model, fleet=fleet, local=local, system=system, prompt=prompt, options=options)
    checked = load({**given, **_known(settings)}, os.environ, Path.cwd())
    return in_order(stream_in_thread(checked, items, journal))


class Client:
    """A fleet that serves streams; an async context manager.

    Example:
        ``async with arriero.Client(fleet=["http://gpu-01:11434"], model="mistral:7b") as client:`` and inside
        ``async for answer in client.stream(prompts): …``

    Args:
        model: See ``run``; so are all others.
        fleet: See ``run``.
        local: See ``run``.
        system: See ``run``.
        prompt: See ``run``.
        options: See ``run``.
        settings: See ``run``.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        fleet: Fleet = None,
        local: bool = False,
        system: str | None = None,
        prompt: str | None = None,
        options: Mapping[str, object] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        given = _given(model=model, fleet=fleet, local=local, system=system, prompt=prompt, options=options)
        self._settings = load({**given, **_known(settings)}, os.environ, Path.cwd())
        self._stack = ExitStack()
        self._streams: Streams | None = None

    async def __aenter__(self) -> Self:
        """Discover the fleet.

        Raises:
            FleetError: If it cannot serve.
        """
        try:
            instances = await asyncio.to_thread(serving, self._settings, self._stack)
            self._streams = await Streams(self._settings, instances).__aenter__()
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what was not answered is dropped."""
        try:
            if self._streams is not None:
                await self._streams.__aexit__(kind, error, trace)
        finally:
            self._stack.close()

    async def stream(self, items: Iterable[Item], *, journal: str | Path | None = None) -> AsyncIterator[Answer]:
        """Answers as they come; several streams at a time share the fleet.

        Args:
            items: Prompts, or rows like those of a jsonl file.
            journal: See ``map``; one for each stream that is read at a time.

        Yields:
            One Answer for each item, in the order in which they end.

        Raises:
            FleetError: If no instance was usable for longer than ``max_wait``.
            BindingError: If the journal is of other items or settings.
            StorageError: If the journal cannot keep what comes.
            ConfigError: Outside ``async with``.
        """
        if self._streams is None:
            raise ConfigError("a Client is used inside 'async with'")
        async with aclosing(self._streams.stream(items, journal=journal)) as answers:
            async for _, answer in answers:
                yield answer


def _chosen(rows: Sequence[Item] | None, choose: Callable[[Item], str]) -> list[Item]:
    """The rows, each with the model that was chosen for it.

    Raises:
        ConfigError: If the rows are those of a file.
    """
    if rows is None:
        raise ConfigError("a function chooses models of a list only", hint="give each row of the file its model")
    chosen: list[Item] = []
    for row in rows:
        if isinstance(row, str):
            chosen.append({"prompt": row, "model": choose(row)})
        else:
            chosen.append(row if "model" in row else {**row, "model": choose(row)})
    return chosen


def _answered_by(function: Function, given: Mapping[str, object]) -> Settings:
    """Settings of a batch that a function answers.

    Raises:
        ConfigError: If servers are named too.
    """
    if given.get("fleet") or given.get("instance") or given.get("local"):
        raise ConfigError("backend= answers in the place of a fleet", hint="leave fleet= and local= out")
    named = function if hasattr(function, "__qualname__") else type(function)
    name = ".".join(filter(None, (getattr(named, "__module__", ""), named.__qualname__)))
    instance = Instance(name=name, url=f"python:{name}", backend="openai", kind="server", stream=False)
    nowhere = {"instance": ["http://localhost"]}  # so that no fleet is looked for
    settings = load({**given, **nowhere}, os.environ, Path.cwd())
    return structs.replace(
        settings,
        instances=(InstanceConfig(instance=instance),),
        engine="threads",
        function=name,
        models=settings.models or (name,),
    )


def _given(*, fleet: Fleet, **values: object) -> dict[str, object]:
    if callable(values.get("model")):
        raise ConfigError("a function as model is for arriero.run", hint="give each row its own model")
    given = {name: value for name, value in values.items() if value not in (None, False)}
    if isinstance(fleet, str | Path) and str(fleet).endswith(".toml"):
        given["fleet"] = str(fleet)
    elif fleet is not None:
        given["instance"] = [str(fleet)] if isinstance(fleet, str | Path) else list(fleet)
    return given


def _known(settings: Mapping[str, object] | None) -> dict[str, object]:
    """Further settings by name.

    Raises:
        ConfigError: If there is none of a name.
    """
    names = [field.name for field in FIELDS]
    for name in settings or {}:
        if name not in names:
            otherwise = "they are the options of arriero run, by their names in a fleet file"
            hint = did_you_mean(name, names, quote="") or otherwise
            raise ConfigError(f"there is no setting {name}", hint=hint)
    return dict(settings or {})
