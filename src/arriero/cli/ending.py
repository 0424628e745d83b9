"""Ending: how a command that failed says so: text, JSON or an event, and a file with the traceback of a bug."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import click

from arriero.cli.command import not_in_this_version
from arriero.cli.terminal import say, say_event
from arriero.config.folders import make_private, state_folder
from arriero.errors import ArrieroError, ConfigError

LATER_FLAGS = ("--hedge", "--length-groups", "--schema", "--color", "--serve")
"""Flags that are planned and not built yet."""

SECRET_FLAGS = ("--api-key", "--apikey", "--key", "--token", "--password", "--header")
"""Flags that other programs have for a key."""

KEY_HINT = 'export MY_KEY=… and name the variable in the [[instance]] of a fleet file: api_key_env = "MY_KEY"'

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
    if isinstance(error, click.NoSuchOption) and error.option_name in SECRET_FLAGS:
        message = f"{error.option_name}: a key on a command line is seen by every user of the machine"
        return fail(ConfigError(message, hint=KEY_HINT), form=form)
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message()
    _tell("usage", message[:1].lower() + message[1:], f"{context.command_path} -h" if context else "", form=form)
    return 2


def drop_unread() -> None:
    """Let the interpreter's last flush go nowhere: whoever read stdout has left, or does not read."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(io.UnsupportedOperation):  # no file lies behind it, so there is nothing that could block
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def keep_quiet() -> None:
    """Let no bug tell a prompt, an answer or a key: not in a traceback of any thread, not in a dump of the memory.

    A process that this one starts inherits that there is no dump.
    """
    sys.excepthook = tell_bug
    threading.excepthook = lambda said: _tell_caught(said.exc_value)
    sys.unraisablehook = lambda said: _tell_caught(said.exc_value)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of an unexpected exception in one line; ``sys.excepthook``, after which Python exits with 1.

    The exception's own text may hold a prompt, an answer or a key, so that only its type is told, in the file too,
    which is made to be sent to others.
    """
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    path = _write_traceback(error)
    hint = f"the traceback is in {path}; please report it" if path else "its traceback could not be written anywhere"
    _tell("bug", f"unexpected {kind.__name__}: this is a bug", hint, form=form_of(sys.argv[1:], os.environ))


def _tell_caught(error: BaseException | None) -> None:
    if error is not None:
        tell_bug(type(error), error, error.__traceback__)


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
        make_private(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(_places(error))
    except OSError:
        return None
    return path


def _places(error: BaseException) -> Iterator[str]:
    """Types and places of an exception and of those behind it, without a word of their texts."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None:
        yield from _places(behind)
        yield "\nthen:\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield "\none of them:\n"
            yield from _places(one)
