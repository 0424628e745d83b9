"""Config show and init: the settings with their origins, and a file to start from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from arriero.cli.command import Command, Group
from arriero.cli.flags import RUN_FLAGS, flags
from arriero.cli.terminal import answer_json, answer_lines, say
from arriero.config.layers import PROJECT_FILE
from arriero.config.load import load
from arriero.config.sample import SAMPLE
from arriero.config.show import shown
from arriero.errors import OutputError


def _show(json: bool | None, **given: object) -> int:
    settings = load(given, os.environ, Path.cwd())
    for warning in settings.warnings:
        say(f"warning: {warning}")
    rows = shown(settings)
    if json:
        answer_json(rows)
        return 0
    names = max(len(row.name) for row in rows)
    values = min(48, max(len(row.value) for row in rows))
    answer_lines(f"{row.name:<{names}}  {row.value:<{values}}  {row.origin}".replace("\n", "\\n") for row in rows)
    return 0


def _init(force: bool) -> int:
    try:
        with Path(PROJECT_FILE).open("w" if force else "x", encoding="utf-8") as file:
            file.write(SAMPLE)
    except FileExistsError:
        raise OutputError(f"{PROJECT_FILE} exists", hint="--force overwrites it") from None
    except OSError as error:
        raise OutputError(f"{PROJECT_FILE}: {error.strerror}") from None
    say(f"wrote {PROJECT_FILE}; arriero config show prints what it sets")
    return 0


config = Group(
    name="config",
    help="The settings: flag > environment > arriero.toml or pyproject.toml > ~/.config/arriero/config.toml > default.",
    examples=("arriero config show", "arriero config init"),
    commands={
        "show": Command(
            name="show",
            callback=_show,
            help="Print every setting, its value and where it came from.",
            examples=(
                "arriero config show",
                "arriero config show --json",
                "ARRIERO_RETRIES=0 arriero config show -c 3x",
            ),
            params=flags([name for name in RUN_FLAGS if name != "dry_run"]),
        ),
        "init": Command(
            name="init",
            callback=_init,
            help=f"Write a commented {PROJECT_FILE} into this folder.",
            examples=("arriero config init", "arriero config init --force"),
            params=[click.Option(["--force"], is_flag=True, help="Overwrite the file.")],
        ),
    },
)
