"""Run, resume, retry: the commands that send."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from arriero.cli.command import Command
from arriero.cli.ending import fail
from arriero.cli.flags import RESUME_FLAGS, RUN_FLAGS, flags, input_and_urls, output_argument
from arriero.cli.signals import Signals
from arriero.cli.terminal import answer, answer_json, say, say_event
from arriero.config.load import load, override
from arriero.config.settings import Settings
from arriero.errors import ArrieroError, ConfigError

if TYPE_CHECKING:
    from arriero.client import Summary


def _run(words: tuple[str, ...], json: bool | None, dry_run: bool | None, **given: object) -> int:
    instances = given.pop("instance")
    source, urls = input_and_urls(words, instances if isinstance(instances, tuple) else ())
    settings = load({**given, "input": source, "instance": urls}, os.environ, Path.cwd())
    if json and settings.output == "-":
        raise ConfigError("--json and -o - both want standard output", hint="-o results.jsonl")
    if not dry_run:
        return _carry_out(settings, as_json=bool(json))
    from arriero import client  # noqa: PLC0415 - heavy; help and usage errors do without

    _warn(settings)
    told, refusal = client.dry_run(settings)
    answer(told, as_json=bool(json))
    if refusal is None:
        return 0
    return refusal.exit_code if json else fail(refusal, form="text")  # the object says it already


def _resume(output: str, journal: str | None, json: bool | None, **given: object) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    settings = override(client.resume_settings(output, journal), given, os.environ, Path.cwd())
    return _carry_out(settings, as_json=bool(json), again=True)


def _retry(output: str, kind: tuple[str, ...], journal: str | None, json: bool | None, **given: object) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    settings = override(client.resume_settings(output, journal), given, os.environ, Path.cwd())
    reopened = client.retry(output, journal, kind or None)
    if reopened:
        _say(f"retry      {reopened:,} {'request waits' if reopened == 1 else 'requests wait'} again", settings)
    elif not client.retried(output, journal):  # a retry that was killed goes on, or writes its output
        _say(f"nothing to retry: no request of {output} has failed{' that way' if kind else ''}", settings)
        return 0
    return _carry_out(settings, as_json=bool(json), again=True)


def _carry_out(settings: Settings, *, as_json: bool, again: bool = False) -> int:
    """Send the batch, show it meanwhile, tell its summary; the exit status."""
    from arriero import client  # noqa: PLC0415 - heavy

    _warn(settings)
    control = client.Control()
    try:
        with Signals(control, quiet=settings.display in ("json", "none")) as signals:
            summary = client.run_batch(settings, control=control, stderr=sys.stderr, again=again)
    except ArrieroError as error:
        if settings.display == "json" and not as_json:  # it may stand in a file, which who called us does not know
            return fail(error, form="event")
        raise
    _tell_end(summary, settings, as_json=as_json)
    if as_json:
        answer_json(summary)
    return signals.exit_code(summary.exit_code)


def _tell_end(summary: Summary, settings: Settings, *, as_json: bool) -> None:
    """The summary as ``--display`` wants it; with ``none`` only what stopped the batch."""
    if settings.display == "json":
        say_event("ended", structs.asdict(summary))
    elif settings.display != "none":
        for line in summary.lines():
            say(line)
    elif summary.reason and not as_json:
        say(f"error: {summary.reason}")
        if summary.resume:
            say(f"help: {shlex.join(summary.resume)}")


def _warn(settings: Settings) -> None:
    for warning in settings.warnings:
        _say(f"warning: {warning}", settings)


def _say(text: str, settings: Settings) -> None:
    """A line of talk as ``--display`` wants it."""
    if settings.display == "json":
        say_event("said", {"text": text})
    elif settings.display != "none":
        say(text)


run = Command(
    name="run",
    callback=_run,
    help="Send every request of INPUT (.txt: one prompt a line; .jsonl: one object a line; - for standard input) and "
    "keep every result. The same command again goes on where it stopped.",
    examples=(
        "arriero run prompts.txt -o results.json -m mistral:7b -c 30",
        "arriero run prompts.txt --local",
        "arriero run rows.jsonl -m llama3.2:3b --prompt 'Sentiment of: {text}' -O temperature=0",
        "arriero run prompts.txt -i 'http://10.0.0.{11..22}:11434' -c 3x --dry-run",
        "arriero run prompts.txt -i http://localhost:8000/api/generate -m mistral:7b",
    ),
    params=[click.Argument(["words"], nargs=-1, metavar="INPUT"), *flags(RUN_FLAGS)],
)

resume = Command(
    name="resume",
    callback=_resume,
    help="Go on with the batch of OUTPUT as it was started; flags change only how it is carried out.",
    examples=("arriero resume results.json", "arriero resume results.json -c 12 -i http://gpu-02:11434"),
    params=[output_argument(), *flags(RESUME_FLAGS)],
)

retry = Command(
    name="retry",
    callback=_retry,
    help="Let the failed requests of OUTPUT wait again, in a new round, and send them.",
    examples=("arriero retry results.json", "arriero retry results.json --kind timeout --kind unreachable"),
    params=[
        output_argument(),
        click.Option(["--kind"], multiple=True, metavar="KIND", help="Only failures of this kind; may be repeated."),
        *flags(RESUME_FLAGS),
    ],
)
