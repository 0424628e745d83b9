"""Lines for standard error: the live line, the log line, the objects of ``--display json``, and which to show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import wrap
from typing import Literal, TypeAlias

import msgspec

from arriero.config.settings import Display
from arriero.monitor.snapshot import Snapshot
from arriero.monitor.words import number_words, short_duration

Shown: TypeAlias = Literal["line", "log", "json", "none"]


class Started(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """A batch begins or goes on; ``total`` is None while its input is still being counted."""

    input: str
    output: str
    journal: str
    session: str
    total: int | None
    ended_before: int


class Progress(msgspec.Struct, frozen=True, tag_field="event", tag="progress"):
    """The numbers of the moment."""

    snapshot: Snapshot


_LABEL_CHARS = 11

_STATES = {
    "paused": "paused",
    "unreachable": "no usable instance, waiting",
    "draining": "draining",
    "aborting": "aborting",
}


def display_shown(wanted: Display, *, is_terminal: bool, environ: Mapping[str, str]) -> Shown:
    """What to show where: a line that rewrites itself only on a terminal that can, outside CI.

    Args:
        wanted: ``--display``.
        is_terminal: Whether standard error is one.
        environ: ``TERM=dumb`` has no carriage control; ``CI`` keeps a log, whatever it runs in.
    """
    if wanted in ("log", "json", "none"):
        return wanted
    plain = environ.get("TERM", "") == "dumb" or (wanted == "auto" and environ.get("CI", "") not in ("", "0", "false"))
    return "line" if is_terminal and not plain else "log"


def live_line(snapshot: Snapshot, width: int = 80) -> str:
    """The line that rewrites itself: finished/total, succeeded, failed, rate, tokens, ETA.

    Args:
        snapshot: The moment.
        width: Columns of the terminal; the line is never longer. Words get shorter first, then parts are left out:
            tokens, succeeded, rate, failed.
    """
    counts = snapshot.counts
    done = f"{counts.finished:,}/{'?' if counts.total is None else f'{counts.total:,}'}"
    rate = f"{number_words(snapshot.rate_per_s)}/s"
    tokens = f"{number_words(snapshot.output_tokens_per_s)} tok/s"
    eta = f"ETA {'-' if snapshot.eta_s is None else short_duration(snapshot.eta_s)}"
    eta = _STATES.get(snapshot.state, eta)
    succeeded = f"{counts.succeeded:,} succeeded"
    failed = f"{counts.failed:,} failed"
    forms = (
        (done, succeeded, failed, rate, tokens, eta),
        (done, f"{counts.succeeded:,} ok", failed, rate, tokens, eta),
        (done, f"{counts.succeeded:,} ok", failed, rate, eta),
        (done, failed, rate, eta),
        (done, failed, eta),
        (done, eta),
    )
    lines = ["  ".join(parts) for parts in forms]
    return next((line for line in lines if len(line) <= width), done[: max(0, width)])


def folded(line: str, width: int) -> str:
    """A line of talk broken at its words, so that a terminal does not break it inside one; the rest stands below the text.

    Args:
        line: A label of ten characters at most, and the text.
        width: Columns of the terminal.
    """
    if len(line) < width or width <= 2 * _LABEL_CHARS:
        return line
    indent = " " * _LABEL_CHARS
    wrapped = wrap(
        line,
        width - 1,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(wrapped)


def log_line(snapshot: Snapshot) -> str:
    """One line of ``key=value`` for pipes and CI; empty values are left out."""
    counts = snapshot.counts
    pairs: dict[str, object] = {
        "state": snapshot.state,
        "finished": counts.finished,
        "total": counts.total,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "in_flight": snapshot.in_flight,
        "rate_per_s": round(snapshot.rate_per_s, 2),
        "output_tokens_per_s": round(snapshot.output_tokens_per_s),
        "makespan_s": round(snapshot.makespan_s),
        "eta_s": None if snapshot.eta_s is None else round(snapshot.eta_s),
    }
    return "progress " + " ".join(f"{name}={value}" for name, value in pairs.items() if value is not None)


def started_line(started: Started) -> str:
    """The first object of a batch."""
    return json.dumps(msgspec.to_builtins(started))


def progress_line(snapshot: Snapshot) -> str:
    """The moment as an object; its ``snapshot`` is what ``status --json`` prints."""
    return msgspec.json.encode(Progress(snapshot)).decode()


def said_line(text: str) -> str:
    """A line of talk as an object; a path in it may have bytes that are no UTF-8, which only ``json`` can write."""
    return json.dumps({"event": "said", "text": text})
