"""Rehearsal: what a run would do, without sending or writing anything."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from itertools import islice

import msgspec

from arriero.client.batch import BATCH
from arriero.client.instances import FleetView, fleet_ps
from arriero.config.settings import Settings
from arriero.core.request import Request
from arriero.errors import ConfigError
from arriero.inputs.bind import Binder
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.monitor.safe import safe_text

SHOWN_REQUESTS = 3
SHOWN_CHARS = 300

JOURNAL_BYTES_A_ROW = 2_000
"""An answer of some hundred tokens in journal and output together."""


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it would be sent; ``num_predict`` stands among the options only where row or user said it."""

    id: str
    model: str
    options: dict[str, object]
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
    disk_free_bytes: int
    disk_needed_bytes: int
    output: str

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"input      {self.rows:,} rows   {self.bad_rows:,} bad lines"]
        for number, request in enumerate(self.requests, 1):
            lines.append(f"request {number}  {request.words()}")
            lines.append(f"           {safe_text(request.prompt, chars=SHOWN_CHARS)}")
        lines += [] if self.fleet is None else self.fleet.lines()
        free, needed = self.disk_free_bytes / 1e9, self.disk_needed_bytes / 1e9
        lines.append(
            f"disk       {free:.1f} GB free, about {needed:.2f} GB needed for journal and {safe_text(self.output)}"
        )
        lines.append("nothing was sent or written")
        return lines


def dry_run(settings: Settings) -> DryRun:
    """Scan the input, bind its first rows, ask the fleet what it has.

    Raises:
        InputError: If a line is bad and ``--on-bad-line`` is ``stop``.
        ConfigError: For standard input, which could not be read a second time.
    """
    if settings.input == "-":
        raise ConfigError("--dry-run would use up standard input", hint="save it to a file first")
    source = FileSource.open(settings.input, settings.input_format, templated=settings.prompt is not None)
    binder = Binder.of(settings)
    scan = Scan(source, binder, stop_at_bad=settings.on_bad_line == "stop", first=settings.first)
    scan.start()
    scan.wait(timeout_s=3600.0)
    if scan.error is not None:
        raise scan.error
    bound = (binder.request(row, batch=BATCH) for row in source.rows())
    shown = islice((request for request in bound if isinstance(request, Request)), SHOWN_REQUESTS)
    return DryRun(
        rows=scan.total or 0,
        bad_rows=scan.bad_rows,
        models=_models(scan.models, binder.model),
        requests=tuple(_rendered(request) for request in shown),
        fleet=fleet_ps(settings) if settings.instances else None,
        disk_free_bytes=shutil.disk_usage(".").free,
        disk_needed_bytes=(scan.total or 0) * JOURNAL_BYTES_A_ROW,
        output=settings.output,
    )


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
        prompt=content.prompt or "\n".join(turn.content for turn in content.messages),
    )
