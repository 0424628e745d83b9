"""Ending: how a command that failed says so: text, JSON or an event, and a file with the traceback of a bug."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import click

from arriero.cli.command import not_in_this_version
from arriero.cli.terminal import say, say_event
from arriero.config.folders import state_folder
from arriero.errors import ArrieroError

LATER_FLAGS = ("--broker", "--hedge", "--length-groups", "--schema", "--color", "--serve")
"""Flags that are planned and not built yet."""

SENDING = ("run", "resume", "retry")
"""Commands that know ``--display``."""

BROKEN_PIPE_EXIT = 141
"""What a shell sees of a program that SIGPIPE ended."""


Form: TypeAlias = Literal["text", "json", "event"]
"""How an error is told: two lines on stderr, an object on stdout, or an object on stderr among those of the batch."""


def form_of(argv: Sequence[str], environ: Mapping[str, str]) -> Form:
    """How an error is to be told, as far as a command line and environment say it that may be wrong themselves."""
    if "--json" in argv:
        return "json"
    if not argv or argv[0] not in SENDING:
        return "text"
    said = [word.removeprefix("--display=") for word in argv if word.startswith("--display=")]
    said += [following for word, following in pairwise(argv) if word == "--display"]
    display = said[-1] if said else environ.get("ARRIERO_DISPLAY", "")
    return "event" if display == "json" else "text"


def fail(error: ArrieroError, *, form: Form) -> int:
    """Say what is wrong and what helps.

    Returns:
        The exit status.
    """
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
    _tell(kind, error.message, error.hint, form=form)
    return error.exit_code


def fail_usage(error: click.ClickException, *, form: Form) -> int:
    """Say how the command line is wrong, in the words of its parser.

    Returns:
        The exit status.
    """
    if isinstance(error, click.NoSuchOption) and error.option_name in LATER_FLAGS:
        return fail(not_in_this_version(error.option_name), form=form)
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message()
    _tell("usage", message[:1].lower() + message[1:], f"{context.command_path} -h" if context else "", form=form)
    return 2


def end_quietly() -> int:
    """Let the interpreter's last flush go nowhere after whoever read stdout has left.

    Returns:
        The exit status.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return BROKEN_PIPE_EXIT


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of an unexpected exception in one line; ``sys.excepthook``, after which Python exits with 1.

    The exception's own text may hold a prompt or an answer, so that only its type is shown; the text stands in the
    file, which nobody else can read.
    """
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    path = _write_traceback(error)
    hint = f"the traceback is in {path}; please report it" if path else "its traceback could not be written anywhere"
    _tell("bug", f"unexpected {kind.__name__}: this is a bug", hint, form=form_of(sys.argv[1:], os.environ))


def _tell(kind: str, message: str, hint: str, *, form: Form) -> None:
    told = {"kind": kind, "message": message, "hint": hint}
    if form == "json":
        print(json.dumps({"error": told}), flush=True)
        return
    if form == "event":
        say_event("error", told)
        return
    say(f"error: {message}")
    if hint:
        say(f"help: {hint}")


def _write_traceback(error: BaseException) -> Path | None:
    folder = state_folder(os.environ)
    if folder is None:
        return None
    path = folder / f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return None
    return path
