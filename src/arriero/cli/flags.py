"""Flags: every flag of ``run``, and the few that other commands share with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from arriero.errors import ConfigError

_URL = re.compile(r"https?://\S+|[A-Za-z0-9.-]+:\d{1,5}(?:/\S*)?|\[[0-9a-fA-F:]+\]:\d{1,5}")

# Setting, spellings, placeholder ("" for a switch, "…" at the end for one that may be repeated), help.
_FLAGS: tuple[tuple[str, str, str, str], ...] = (
    ("output", "-o --output", "OUTPUT", "Where results go; results.json if left out, - for standard output."),
    ("model", "-m --model", "MODEL…", "Model of every row without its own."),
    ("concurrency", "-c --concurrency --concurrent", "auto|N|Nx|auto:N",
     "Requests in flight over the fleet: N exactly; Nx: instances x N; auto (default): learned; auto:N: at most N."),
    ("fleet", "--fleet", "FILE", "TOML file with [[instance]] tables."),
    ("instance", "-i --instance", "URL…", "An instance; repeat it, or quote a range: 'http://host:114{34..45}'."),
    ("local", "--local", "", "Serve with the bundled demonstration model."),
    ("engine", "--engine", "asyncio|threads|celery",
     "What carries requests out: one event loop (default), a thread each, or workers on other machines."),
    ("broker", "--broker", "URL", "Redis or RabbitMQ between the coordinator and its workers; ARRIERO_BROKER keeps it off the command line."),
    ("system", "-s --system", "TEXT|@FILE", "System prompt of every row without its own."),
    ("prompt", "--prompt", "TEXT|@FILE", "Template of the prompt; {field} takes a field of the row."),
    ("options", "-O --option", "KEY=VALUE…", "Option by its Ollama name, such as temperature=0 or num_predict=200."),
    ("endpoint", "--endpoint", "PATH", "/api/chat (default), /api/generate or /api/embed."),
    ("think", "--think", "true|false|LEVEL", "Let a thinking model think first; off unless said."),
    ("retries", "--retries", "N", "Attempts after the first; 4."),
    ("timeout", "--timeout", "auto|DURATION|B+M/Nc",
     "One attempt: auto (default): predicted; 2m: fixed; 30+1/100c: 30 s and 1 s more for each 100 characters."),
    ("max_errors", "--max-errors", "5%|N",
     "Stop when more requests failed for good in this run: nothing starts after that; what runs ends, and may fail too."),
    ("max_wait", "--max-wait", "DURATION", "How long to wait when no instance is usable; 1h."),
    ("first", "--first", "N", "Only the first N rows."),
    ("dry_run", "--dry-run", "", "Check and count everything, show three requests, send and write nothing."),
    ("display", "--display", "auto|line|log|json|none",
     ("What stderr shows: a line that rewrites itself, a log line in 10 s, or by what stderr is (auto, default). json: "
      "objects alone, one a line, by 'event': started, progress, said, ended, error. none: errors alone.")),
    ("format", "--format", "json|jsonl|openai", "Output format; by the suffix unless said."),
    ("input_format", "--input-format", "txt|jsonl", "Input format; by the suffix unless said."),
    ("unordered", "--unordered", "", "Append each result as it comes (jsonl)."),
    ("on_bad_line", "--on-bad-line", "stop|fail", "stop (default), or make each bad line a failed result."),
    ("journal", "--journal", "FILE", "Where the journal lies; OUTPUT.journal."),
    ("force", "--force", "", "Rename an output or journal that is in the way."),
    ("json", "--json", "", "Answer and errors as JSON on stdout."),
)  # fmt: skip

RUN_FLAGS = tuple(name for name, *_ in _FLAGS)
RESUME_FLAGS = ("concurrency", "fleet", "instance", "broker", "local", "retries", "timeout", "max_errors", "max_wait", "display",
                "journal", "json")  # fmt: skip
"""What does not bind a batch, and so may change on the way."""


def flags(names: Sequence[str]) -> list[click.Parameter]:
    """Options for a command, fresh ones each time.

    Args:
        names: Settings of ``RUN_FLAGS``, in the order of the help.
    """
    table = {name: (spellings, place, text) for name, spellings, place, text in _FLAGS}
    return [_option(name, *table[name]) for name in names]


def output_argument() -> click.Argument:
    """The output that names a batch."""
    return click.Argument(["output"], metavar="OUTPUT", default="results.json", required=False)


def input_and_urls(words: Sequence[str], instances: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The input among the arguments, and the whole list of instances.

    A shell expands an unquoted ``-i http://host:114{34..45}`` itself: the first URL stays with ``-i``, the others
    become arguments. With ``-i`` given, an argument that looks like an address and is no file is one of those.

    Raises:
        ConfigError: If not exactly one input is left.
    """
    urls = [word for word in words if instances and _URL.fullmatch(word) and not Path(word).exists()]
    inputs = [word for word in words if word not in urls]
    if len(inputs) != 1:
        raise ConfigError(
            "one input is wanted" if not inputs else f"one input is wanted, not {len(inputs)}: {' '.join(inputs)}",
            hint="arriero run prompts.txt -o results.json",
        )
    return inputs[0], (*instances, *urls)


def _option(name: str, spellings: str, place: str, text: str) -> click.Option:
    words = [*spellings.split(), name]
    if not place:
        return click.Option(words, is_flag=True, default=None, help=text)
    return click.Option(words, multiple=place.endswith("…"), metavar=place.removesuffix("…"), help=text)
