"""Status, results, errors, verify: the commands that only read a batch."""

from __future__ import annotations

import click

from arriero.cli.command import Command
from arriero.cli.flags import flags, output_argument
from arriero.cli.terminal import answer, answer_json, answer_lines, write_json_line
from arriero.errors import ConfigError

BROKEN_PROMISE_EXIT = 7
"""``verify`` found something that the journal, the input or the output should not be."""

SHOWN_EACH = 3
"""Failures of each kind that ``errors`` shows unless told."""


def _status(output: str, journal: str | None, json: bool | None) -> int:
    from arriero import client  # noqa: PLC0415 - heavy
    from arriero.cli.status import status_lines  # noqa: PLC0415

    snapshot = client.status(output, journal)
    if json:
        answer_json(snapshot)
    else:
        answer_lines(status_lines(snapshot))
    return 0


def _results(output: str, only: str | None, kind: str | None, rows: bool, salvage: bool, journal: str | None) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    if kind and not rows:
        raise ConfigError("--kind is for --rows", hint="arriero errors OUTPUT --kind KIND shows failures of one kind")
    if rows and (salvage or only == "succeeded"):
        raise ConfigError("--rows prints rows that failed", hint="leave out --salvage and --only")
    lines = client.failed_rows(output, journal, kind) if rows else None
    for line in lines or client.results(output, journal, salvage=salvage, only=only):
        write_json_line(line)
    return 0


def _errors(output: str, kind: str | None, show: int, journal: str | None, json: bool | None) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    answer(client.errors(output, journal, kind, show), as_json=bool(json))
    return 0


def _verify(output: str, journal: str | None, json: bool | None) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    verification = client.verify(output, journal)
    answer(verification, as_json=bool(json))
    return 0 if verification.ok else BROKEN_PROMISE_EXIT


_SHARED = ("journal", "json")

status = Command(
    name="status",
    callback=_status,
    help="How far the batch of OUTPUT is; works while another process carries it out.",
    examples=("arriero status results.json", "arriero status results.json --json"),
    params=[output_argument(), *flags(_SHARED)],
)

results = Command(
    name="results",
    callback=_results,
    help="Print the results that the journal of OUTPUT holds, as jsonl in input order, at any moment.",
    examples=(
        "arriero results results.json > so-far.jsonl",
        "arriero results results.json --only failed",
        "arriero results results.json --rows --kind too_long > too-long.jsonl",
        "arriero results results.json --salvage   # read past damage in the journal",
    ),
    params=[
        output_argument(),
        click.Option(["--only"], type=click.Choice(["succeeded", "failed"]), help="Only these."),
        click.Option(
            ["--rows"], is_flag=True, help="The rows that failed, as jsonl for another run, in place of results."
        ),
        click.Option(["--kind"], metavar="KIND", help="With --rows: only failures of this kind."),
        click.Option(["--salvage"], is_flag=True, help="Read past damage in the journal."),
        *flags(("journal",)),
        click.Option(["--json"], is_flag=True, expose_value=False, help="Errors as JSON, as results are in any case."),
    ],
)

errors = Command(
    name="errors",
    callback=_errors,
    help="The failures of OUTPUT by kind, with examples and the servers' own words.",
    examples=("arriero errors results.json", "arriero errors results.json --kind timeout --show 20"),
    params=[
        output_argument(),
        click.Option(["--kind"], metavar="KIND", help="Only failures of this kind."),
        click.Option(
            ["--show"], type=click.IntRange(min=0), default=SHOWN_EACH, metavar="N", help="Examples of each kind; 3."
        ),
        *flags(_SHARED),
    ],
)

verify = Command(
    name="verify",
    callback=_verify,
    help="Check that journal, input and output of OUTPUT agree: every row ended once, nothing lost, nothing changed.",
    examples=("arriero verify results.json", "arriero verify results.json --json"),
    params=[output_argument(), *flags(_SHARED)],
)
