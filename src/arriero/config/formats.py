"""Formats: what an input or an output is, by its suffix or as said."""

from __future__ import annotations

from pathlib import Path, PurePath

from arriero.config.given import NOT_BUILT
from arriero.config.settings import InputFormat, OutputFormat
from arriero.errors import ConfigError

AS_JSONL = (
    "python -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin)]' "
    "< rows.csv > rows.jsonl makes jsonl of a .csv with a header"
)
"""A way out for who has a table."""

_LATER = (".csv", ".parquet")


def input_format(path: str) -> InputFormat:
    """The format of an input by its suffix; standard input is lines of prompts.

    Raises:
        ConfigError: If the suffix says nothing.
    """
    suffix = PurePath(path).suffix.lower()
    if path in ("", "-") or suffix == ".txt":
        return "txt"
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if suffix in _LATER:
        raise ConfigError(f"{path}: {suffix} input: {NOT_BUILT}", hint="known: .txt, .jsonl; " + AS_JSONL)
    raise ConfigError(
        f"{path}: its name does not say what it is (.txt: one prompt a line; .jsonl: one JSON object a line)",
        hint="say it: --input-format txt, or --input-format jsonl",
    )


def output_format(path: str) -> OutputFormat:
    """The format of an output by its suffix; standard output is jsonl.

    Raises:
        ConfigError: If the suffix says nothing.
    """
    suffix = PurePath(path).suffix.lower()
    if path == "-" or suffix == ".jsonl":
        return "jsonl"
    if suffix == ".json":
        return "json"
    if suffix in _LATER:
        raise ConfigError(f"{path}: {suffix} output: {NOT_BUILT}", hint="known: .json, .jsonl, --format openai")
    raise ConfigError(
        f"{path}: its name does not say what to write (known: .json, .jsonl)",
        hint="say it: --format json, --format jsonl, or --format openai",
    )


def default_output(chosen: OutputFormat | None) -> str:
    """The output when none is named: ``results.json``, or ``results.jsonl`` for a format of lines."""
    return "results.json" if chosen in (None, "json") else "results.jsonl"


def default_journal(output: str) -> str:
    """The journal beside the output; for standard output one in the working directory."""
    return "stdout.journal" if output == "-" else f"{output}.journal"


def output_paths(output: str, output_format: OutputFormat) -> tuple[Path, ...]:
    """The files of an output, the one with the answers first.

    ``openai`` has two: ``NAME.jsonl`` and ``NAME.errors.jsonl``, where NAME is the output without ``.jsonl`` or ``.json``.
    """
    path = Path(output)
    if output_format != "openai":
        return (path,)
    name = path.name.removesuffix(".jsonl").removesuffix(".json") or path.name
    return path.with_name(f"{name}.jsonl"), path.with_name(f"{name}.errors.jsonl")
