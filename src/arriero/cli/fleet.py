"""Fleet ps: a line an instance: address, server, installed models, state."""

from __future__ import annotations

import os
from pathlib import Path

from arriero.cli.command import Command, Group
from arriero.cli.flags import flags
from arriero.cli.terminal import answer, say
from arriero.config.load import load
from arriero.errors import FleetError


def _ps(json: bool | None, **given: object) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    settings = load(given, os.environ, Path.cwd())
    for warning in settings.warnings:
        say(f"warning: {warning}")
    view = client.fleet_ps(settings)
    answer(view, as_json=bool(json))
    return 0 if view.usable else FleetError.exit_code


_EXAMPLES = (
    "arriero fleet ps",
    "arriero fleet ps --fleet arriero.toml --json",
    "arriero fleet ps -i 'http://10.0.0.{11..22}:11434'",
    "arriero fleet ps --broker redis://10.0.0.5",
)

fleet = Group(
    name="fleet",
    help="Look at the instances.",
    examples=_EXAMPLES,
    later=("check", "pull", "warm", "list", "stop", "top"),
    commands={
        "ps": Command(
            name="ps",
            callback=_ps,
            help="Each instance: address, server, models installed, state.",
            examples=_EXAMPLES,
            params=flags(("fleet", "instance", "engine", "broker", "json")),
        )
    },
)
