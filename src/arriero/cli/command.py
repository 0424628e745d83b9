"""Command and Group: help that starts with examples, and names that are not in this version."""

from __future__ import annotations

from typing import Any

import click

from arriero.config.suggestion import did_you_mean
from arriero.errors import ConfigError

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


def not_in_this_version(name: str) -> ConfigError:
    """The answer to what is planned and not in this version."""
    return ConfigError(f"{name}: not in this version", hint="arriero -h lists what is")


class Command(click.Command):
    """A command whose help starts with examples.

    Args:
        examples: Command lines, each of which works as it stands.
        attributes: What ``click.Command`` takes.
    """

    def __init__(self, *, examples: tuple[str, ...], **attributes: Any) -> None:
        super().__init__(context_settings=HELP_NAMES, **attributes)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then what click writes."""
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)


class Group(click.Group):
    """A group of commands.

    Args:
        examples: Command lines for its help.
        later: Commands that are planned and not built yet.
        attributes: What ``click.Group`` takes.
    """

    def __init__(self, *, examples: tuple[str, ...], later: tuple[str, ...] = (), **attributes: Any) -> None:
        super().__init__(context_settings=HELP_NAMES, subcommand_metavar="COMMAND …", **attributes)
        self.examples = examples
        self.later = later

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then what click writes."""
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises:
            ConfigError: If it is one of ``later``, or there is none of that name.
        """
        if args[0] in self.later:
            raise not_in_this_version(f"{ctx.command_path} {args[0]}")
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = did_you_mean(args[0], self.list_commands(ctx), quote="")
            raise ConfigError(
                f"{ctx.command_path}: there is no command {args[0]!r}", hint=near or f"{ctx.command_path} -h lists them"
            )
        return super().resolve_command(ctx, args)


def write_examples(formatter: click.HelpFormatter, examples: tuple[str, ...]) -> None:
    """Write command lines as they are, unwrapped, so that they can be copied."""
    formatter.write("Examples:\n" + "".join(f"  {example}\n" for example in examples) + "\n")
