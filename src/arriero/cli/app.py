"""App: the table of commands, each imported when it is used, and the one place where a command ends."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from arriero import __version__
from arriero.cli.command import Group
from arriero.cli.ending import BROKEN_PIPE_EXIT, drop_unread, fail, fail_usage, form_of
from arriero.cli.terminal import tolerate_any_encoding, wait_for_no_reader
from arriero.errors import ArrieroError

USAGE_EXIT = 2
INTERRUPTED_EXIT = 130

COMMANDS = {
    "run": ("run", "Send every request of an input, keep every result; the same line again resumes."),
    "resume": ("run", "Go on with a batch that was stopped."),
    "retry": ("run", "Try the failed requests of a batch once more."),
    "status": ("read", "How far a batch is, from any process."),
    "results": ("read", "The results so far, as jsonl in input order."),
    "errors": ("read", "The failures by kind, with examples."),
    "verify": ("read", "Check that journal, input and output keep every promise."),
    "fleet": ("fleet", "ps: the instances, their models and state."),
    "worker": ("worker", "Carry requests out for a batch on another machine, through a broker."),
    "local": ("local", "install: the bundled demonstration model."),
    "doctor": ("doctor", "Check versions, disk, limits and instances."),
    "config": ("config", "show, init: the settings and where each comes from."),
}
"""Command to its module in this package, and its line in the help."""

LATER = ("watch", "plan", "bench", "sim", "gpu", "serve", "limit", "pause", "unpause", "drain", "cancel")
"""Commands that are planned and not built yet."""

EXAMPLES = (
    "arriero run prompts.txt -o results.json -m mistral:7b -c 30",
    "arriero run prompts.txt --local   # no server at hand: a demonstration model",
    "arriero run rows.jsonl -i 'http://10.0.0.{11..22}:11434' --prompt 'Sentiment of: {text}'",
    "arriero errors results.json && arriero retry results.json",
)


class LazyGroup(Group):
    """The top of the command line; knows its commands by name and imports none of them for its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"arriero.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


app = LazyGroup(
    name="arriero",
    examples=EXAMPLES,
    later=LATER,
    help="Batches of LLM requests through a fleet of Ollama or OpenAI-compatible servers.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Print the version.",
            callback=lambda ctx, _, value: _print_version(ctx, asked=value),
        )
    ],
)


def start(argv: Sequence[str]) -> int:
    """Run one command line.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The exit status, as ``docs/reliability.md`` lists them.
    """
    tolerate_any_encoding()
    wait_for_no_reader()
    form = form_of(argv, os.environ)
    try:
        code = _invoked(argv)
        sys.stdout.flush()  # a reader that has left is to be noticed here, not by the interpreter on its way out
    except ArrieroError as error:
        return fail(error, form=form)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE_EXIT
    except click.ClickException as error:
        return fail_usage(error, form=form)
    except KeyboardInterrupt:
        drop_unread()
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        drop_unread()
        return BROKEN_PIPE_EXIT
    return code


def _invoked(argv: Sequence[str]) -> int:
    # Not click's own main(): it turns a broken pipe into exit status 1, which here means a bug.
    try:
        with app.make_context("arriero", list(argv)) as context:
            return int(app.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code


def _print_version(ctx: click.Context, *, asked: bool) -> None:
    if asked:
        print(f"arriero {__version__}")
        ctx.exit()
