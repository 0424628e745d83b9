"""Doctor: the command that prints what would get in the way of a batch here."""

from __future__ import annotations

import os
from pathlib import Path

from arriero.cli.command import Command
from arriero.cli.flags import flags
from arriero.cli.terminal import answer, say
from arriero.config.load import load

UNWELL_EXIT = 5
"""Something would stop a batch here; mostly an instance that cannot be used."""


def _doctor(json: bool | None, **given: object) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    settings = load(given, os.environ, Path.cwd())
    for warning in settings.warnings:
        say(f"warning: {warning}")
    findings = client.doctor(settings)
    answer(findings, as_json=bool(json))
    return 0 if findings.ok else UNWELL_EXIT


doctor = Command(
    name="doctor",
    callback=_doctor,
    help="Check versions, SQLite, disk, open files, proxies and the instances; sends no prompt.",
    examples=("arriero doctor", "arriero doctor --fleet arriero.toml --json"),
    params=flags(("fleet", "instance", "json")),
)
