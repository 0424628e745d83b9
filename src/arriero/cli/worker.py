"""Worker: the command that carries requests out for a batch on another machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from arriero.cli.command import Command
from arriero.cli.flags import flags
from arriero.cli.terminal import say
from arriero.config.load import load
from arriero.config.quantities import duration_s
from arriero.errors import ConfigError


def _worker(name: str | None, grace: str, **given: object) -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    settings = load({**given, "engine": "asyncio"}, os.environ, Path.cwd())
    if not settings.broker:
        raise ConfigError("a worker needs a broker", hint="--broker redis://…, or ARRIERO_BROKER")
    for warning in settings.warnings:
        say(f"warning: {warning}")
    name = name or socket.gethostname()
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ConfigError(f"--name {name}: letters, digits, dots, dashes and underscores only", hint="--name gpu-07")
    return client.worker(settings, name=name, grace_s=duration_s(grace), say=say)


worker = Command(
    name="worker",
    callback=_worker,
    help="Hold instances that this machine reaches, and carry out what a batch on another machine sends through the broker. "
    "SIGTERM and Ctrl-C let what runs end.",
    examples=(
        "arriero worker --broker redis://10.0.0.5 --name gpu-07",
        "arriero worker --fleet fleet.toml   # with ARRIERO_BROKER in the environment",
    ),
    params=[
        *flags(("broker", "fleet", "instance")),
        click.Option(["--name"], metavar="NAME", help="Its name; the host's unless said. One worker a name."),
        click.Option(
            ["--grace"], metavar="DURATION", default="60s", help="How long what runs may go on at the end; 60s."
        ),
    ],
)
