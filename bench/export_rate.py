"""Microseconds a row of the export, from a real input and a real journal, and the memory it takes.

    python bench/export_rate.py [--rows 200000] [--chars 900] [--folder DIR]

Each format is exported by a process of its own, so that its peak of resident memory is its own; once more with a tenth
of the rows shows that the peak does not grow with them. What reading alone costs (input, journal) is told apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Content, Request, Result, Unit
from arriero.inputs.source import FileSource
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.outputs.export import export

FORMATS = ("json", "jsonl", "openai")
GROUP = 500
MEBI = 1024


def batch(folder: Path, rows: int, chars: int) -> None:
    """An input of so many rows and the journal of a batch that answered all of them; one in 50 failed."""
    unit, content = Unit("mistral:7b"), Content()
    with (folder / "input.jsonl").open("w", encoding="utf-8") as file:
        for position in range(rows):
            file.write(json.dumps({"id": f"row-{position}", "prompt": f"Tell me about {position}.", "tag": position}))
            file.write("\n")
    source = FileSource.open(str(folder / "input.jsonl"), "jsonl")
    room = threading.Event()
    with Journal.open(folder / "journal", binding={"input": "bench"}, command="bench", settings=b"{}") as journal:
        journal.on_commit = lambda _kept, _dropped: room.set()
        waiting = iter(source.rows())
        while group := list(itertools.islice(waiting, GROUP)):
            while not journal.room():
                room.wait(1)
                room.clear()
            journal.record([ended(row.position, row.hash, row.id, unit, content, chars) for row in group], [])
    source.close()


def ended(position: int, row_hash: bytes, name: str, unit: Unit, content: Content, chars: int) -> Result:
    """A result as a run makes it."""
    request = Request(
        batch=1, position=position, line=position + 1, id=name, content=content, unit=unit, row_hash=row_hash
    )
    text = (f'Answer "{position}":\n' + "lorem ipsum dolor sit amet, größer " * (chars // 34 + 1))[:chars]
    outcome = Success(
        text=text,
        finish_reason="stop",
        usage=Usage(40, 200),
        timing=Timing(1.5, 0.2, 0.001, 0.1, 1.2, 1.4),
        model="mistral:7b",
    )
    failed = Failure(kind=FailureKind.TIMEOUT, latency_s=600.0)
    return Result(
        request=request,
        outcome=failed if position % 50 == 7 else outcome,
        instance="gpu-01",
        attempt=position + 1,
        attempts=1,
        ended_at=1.5,
    )


def measure(folder: Path, what: str) -> None:
    """One export, or one reading, in this process; prints CPU and wall seconds, and peak resident KiB."""
    source = FileSource.open(str(folder / "input.jsonl"), "jsonl")
    with JournalReader(folder / "journal") as reader:
        wall, cpu = time.perf_counter(), time.process_time()
        if what == "input":
            sum(len(row.hash) for row in source.rows())
        elif what == "journal":
            sum(1 for _ in reader.results())
        else:
            export(str(folder / f"out.{what}"), what, source.rows(), reader.results(), complete=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = next(
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    print(json.dumps([cpu, wall, int(peak)]))


def told(folder: Path, what: str, rows: int) -> None:
    """Run ``measure`` in its own process and print a line."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    cpu, wall, peak = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    print(
        f"{rows:>9,} rows  {what:<8} {cpu / rows * 1e6:6.2f} us CPU a row  {wall / rows * 1e6:6.2f} us wall a row"
        f"  peak {peak / MEBI:6.1f} MiB"
    )


def main() -> None:
    """Make two batches, a tenth and the whole, and measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--chars", type=int, default=900)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.folder, chosen.measure)
        return
    print(f"Python {platform.python_version()}, {platform.machine()}, answers of {chosen.chars} characters")
    for rows in (chosen.rows // 10, chosen.rows):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            batch(Path(name), rows, chosen.chars)
            for what in ("input", "journal", *FORMATS):
                told(Path(name), what, rows)


if __name__ == "__main__":
    main()
