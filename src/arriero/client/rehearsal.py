"""Rehearsal: what a run would do and what would refuse it, without sending or writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import msgspec

from arriero.client.batch import BATCH, claim_output, with_stored_models
from arriero.client.instances import (
    FleetView,
    Nowhere,
    default_model,
    fleet_view,
    require_model,
    require_usable,
)
from arriero.client.loop import run
from arriero.client.session import Session
from arriero.config.settings import Settings
from arriero.core.request import Request
from arriero.errors import ArrieroError, ConfigError
from arriero.inputs.bind import Binder
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.journal.place import free_bytes, refuse_network, resolve
from arriero.monitor.safe import safe_text
from arriero.monitor.words import plural

SHOWN_REQUESTS = 3
SHOWN_CHARS = 300

JOURNAL_BYTES_A_ROW = 2_000
"""An answer of some hundred tokens in journal and output together."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """What the run would end with before anything is sent."""

    message: str
    hint: str
    exit_code: int


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it would be sent; ``num_predict`` stands among the options only where row or user said it."""

    id: str
    model: str
    options: dict[str, object]
    system: str
    prompt: str

    def words(self) -> str:
        """All but the prompt: ``id 1   model mistral:7b   num_ctx=8192 temperature=0``."""
        options = [f"{name}={msgspec.json.encode(value).decode()}" for name, value in self.options.items()]
        words = [f"id {self.id}", f"model {self.model or '(the only one)'}", " ".join(options)]
        return safe_text("   ".join(word for word in words if word))


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do."""

    rows: int
    bad_rows: int
    models: dict[str, int]
    requests: tuple[Rendered, ...]
    fleet: FleetView | None
    disk_free_bytes: int | None
    disk_needed_bytes: int
    output: str
    error: Refused | None = None

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"input      {plural(self.rows, 'row')}   {plural(self.bad_rows, 'bad line')}"]
        for number, request in enumerate(self.requests, 1):
            lines.append(f"request {number}  {request.words()}")
            if request.system:
                lines.append(f"{'system':<11}{safe_text(request.system, chars=SHOWN_CHARS)}")
            lines.append(f"{'':<11}{safe_text(request.prompt, chars=SHOWN_CHARS)}")
        lines += [] if self.fleet is None else self.fleet.lines()
        if self.disk_free_bytes is not None:
            free, needed = self.disk_free_bytes / 1e9, self.disk_needed_bytes / 1e9
            lines.append(
                f"disk       {free:.1f} GB free, about {needed:.2f} GB needed for journal and {safe_text(self.output)}"
            )
        lines.append("nothing was sent or written")
        return lines


def dry_run(settings: Settings) -> tuple[DryRun, ArrieroError | None]:
    """Scan the input, bind its first rows, ask the fleet what it has and whether it can serve them.

    Returns:
        What it would do, and the error that it would end with before anything is sent; None if there is none.

    Raises:
        InputError: If a line is bad and ``--on-bad-line`` is ``stop``.
        ConfigError: For standard input, which could not be read a second time.
    """
    if settings.input == "-":
        raise ConfigError("--dry-run would use up standard input", hint="save it to a file first")
    refusal = _in_the_way(settings)
    settings = with_stored_models(settings)
    source = FileSource.open(settings.input, settings.input_format, templated=settings.prompt is not None)
    binder = Binder.of(settings)
    scan = Scan(source, binder, stop_at_bad=settings.on_bad_line == "stop", first=settings.first)
    scan.start()
    scan.wait(timeout_s=3600.0)
    if scan.error is not None:
        raise scan.error
    bound = (binder.request(row, batch=BATCH) for row in source.rows())
    rows = bound if settings.first is None else islice(bound, settings.first)
    shown = islice((request for request in rows if isinstance(request, Request)), SHOWN_REQUESTS)
    fleet, lacking = run(_asked(settings), settings.engine) if settings.instances else (None, None)
    refusal = refusal or lacking
    told = DryRun(
        rows=scan.total or 0,
        bad_rows=scan.bad_rows,
        models=_models(scan.models, binder.model),
        requests=tuple(_rendered(request) for request in shown),
        fleet=fleet,
        disk_free_bytes=_free_bytes(Path(settings.journal)),
        disk_needed_bytes=(scan.total or 0) * JOURNAL_BYTES_A_ROW,
        output=settings.output,
        error=None if refusal is None else _refused(refusal),
    )
    return told, refusal


def _in_the_way(settings: Settings) -> ArrieroError | None:
    """What of the output and the journal's place would refuse the run."""
    try:
        if not settings.force:  # it would rename them
            claim_output(settings)
        refuse_network(resolve(Path(settings.journal)))
    except ArrieroError as error:
        return error
    return None


async def _asked(settings: Settings) -> tuple[FleetView, ArrieroError | None]:
    """What the instances have, and the error that a run would begin with."""
    async with Session(settings, "0" * 12, settings.instances) as session:
        await session.discover(Nowhere())
        fleet = session.scheduler.fleet
        try:
            require_usable(fleet)
            if not settings.models and settings.input_format == "txt":
                default_model(fleet)
            for model in settings.models:
                require_model(fleet, model)
        except ArrieroError as error:
            return fleet_view(fleet), error
        return fleet_view(fleet), None


def _free_bytes(journal: Path) -> int | None:
    """What is free where the journal would lie; None if its folder is not there."""
    return free_bytes(journal) if journal.parent.is_dir() else None


def _refused(error: ArrieroError) -> Refused:
    return Refused(message=error.message, hint=error.hint, exit_code=error.exit_code)


def _models(counted: Mapping[str, int], default: str) -> dict[str, int]:
    """Requests by model; the rows without their own are the default's (``""``: it is found out by asking)."""
    models: Counter[str] = Counter()
    for name, count in counted.items():
        models[name or default] += count
    return dict(models)


def _rendered(request: Request) -> Rendered:
    content = request.content
    options: dict[str, object] = {**dict(request.unit.options), **content.options}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    return Rendered(
        id=request.id,
        model=request.unit.model,
        options=options,
        system=content.system or "",
        prompt=content.prompt or "\n".join(turn.content for turn in content.messages),
    )
