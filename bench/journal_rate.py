"""Durable results a second of the journal, beside a bare SQLite loop that inserts the same rows; and its reading costs.

    python bench/journal_rate.py [--results 100000] [--runs 3] [--chars 900] [--busy] [--folder DIR]

Both write groups of 500 with ``synchronous=FULL``. The loop gets rows that are ready; the journal gets ``Result``
objects and has to encode them, count them, queue them and tell of them. Runs alternate, the medians are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import apsw

from arriero.core.outcome import Success, Timing, Usage
from arriero.core.request import Content, Request, Result, Unit
from arriero.journal.journal import Journal
from arriero.journal.outcome import encode
from arriero.journal.reader import JournalReader
from arriero.journal.statements import schema

GROUP = 500


def results(count: int, chars: int) -> list[Result]:
    """Results as a run makes them; answers differ, so that no two rows are the same bytes."""
    unit = Unit("mistral:7b")
    content = Content(prompt="")
    made = []
    for position in range(count):
        text = (f"Answer {position}: " + "lorem ipsum dolor sit amet " * (chars // 26 + 1))[:chars]
        row_hash = hashlib.blake2b(str(position).encode(), digest_size=16).digest()
        request = Request(
            batch=1,
            position=position,
            line=position + 1,
            id=str(position + 1),
            content=content,
            unit=unit,
            row_hash=row_hash,
        )
        timing = Timing(1.5, 0.2, 0.001, 0.1, 1.2, 1.4)
        outcome = Success(text=text, finish_reason="stop", usage=Usage(40, 200), timing=timing, model="mistral:7b")
        made.append(
            Result(request=request, outcome=outcome, instance="gpu-01", attempt=position + 1, attempts=1, ended_at=1.5)
        )
    return made


def bare(folder: Path, made: Sequence[Result]) -> tuple[float, float]:
    """Wall and CPU seconds of a loop of two ``executemany`` a group over the journal's two tables."""
    connection = apsw.Connection(str(folder / f"bare-{time.monotonic_ns()}.db"))
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.execute(schema())
    narrow = [(1, r.request.position, 0, None, r.request.row_hash, r.request.position + 1) for r in made]
    wide = [
        (r.request.position + 1, 1, r.request.position, 0, r.request.id, 1, r.instance, "mistral:7b", 1, r.attempt, 1.5, encode(r.outcome))
        for r in made
    ]  # fmt: skip
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, len(made), GROUP):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO finished VALUES (?,?,?,?,?,?)", narrow[start : start + GROUP])
        connection.executemany("INSERT INTO answer VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", wide[start : start + GROUP])
        connection.execute("COMMIT")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    connection.close()
    return wall, cpu


def journal(folder: Path, made: Sequence[Result]) -> tuple[float, float, Path]:
    """Wall and CPU seconds from the first ``record`` to the last ``on_commit``, and the journal."""
    path = folder / f"journal-{time.monotonic_ns()}"
    room, left, ended = threading.Event(), [len(made)], threading.Event()

    def committed(kept: Sequence[Result], _dropped: int) -> None:
        left[0] -= len(kept)
        room.set()
        if not left[0]:
            ended.set()

    with Journal.open(path, binding={"input": "bench"}, command="bench", settings=b"{}") as kept:
        kept.on_commit = committed
        cpu, wall = time.process_time(), time.perf_counter()
        for start in range(0, len(made), GROUP):
            while not kept.room():
                room.wait(1)
                room.clear()
            kept.record(made[start : start + GROUP], [])
        ended.wait()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, path


@contextmanager
def busy_loop() -> Iterator[None]:
    """A thread that computes for some 60 us, makes two short system calls, and so on, as a busy event loop does."""
    end = threading.Event()
    reader, writer = os.pipe()

    def spin() -> None:
        while not end.is_set():
            sum(range(4000))
            os.write(writer, b"x")
            os.read(reader, 1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        os.close(reader)
        os.close(writer)


def reading(path: Path, rows: int) -> None:
    """Seconds to open again, to stream the hashes, to read every result and to check the structure."""
    start = time.perf_counter()
    opened = Journal.open(path, binding={"input": "bench"}, command="bench", settings=b"{}")
    seconds = [("open again, with the bitmap of what has ended", time.perf_counter() - start)]
    assert len(opened.done) == rows
    opened.close()
    with JournalReader(path) as reader:
        for name, read in (
            ("counts", lambda: reader.counts().total),
            ("stream all hashes", lambda: sum(1 for _ in reader.hashes())),
            ("read all results in order", lambda: sum(1 for _ in reader.results())),
            ("quick_check of the whole file", reader.quick_check),
        ):
            start = time.perf_counter()
            read()
            seconds.append((name, time.perf_counter() - start))
    print(f"{rows} rows, {path.stat().st_size / 1e6:.0f} MB:")
    for name, value in seconds:
        print(f"  {name}: {value:.3f} s")


def main() -> None:
    """Print both rates, their ratio, CPU a result, and the reading costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chars", type=int, default=900)
    parser.add_argument("--busy", action="store_true", help="beside a thread that computes, as in a run")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    made = results(given.results, given.chars)
    base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{platform.platform()}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}")
    with tempfile.TemporaryDirectory(dir=given.folder) as name, busy_loop() if given.busy else nullcontext():
        loops, journals = [], []
        for _ in range(given.runs):
            journals.append(journal(Path(name), made))
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            base_mb, grown_mb = peak_mb, peak_mb - base_mb
            loops.append(bare(Path(name), made))
            loop, ours = loops[-1][0], journals[-1][0]
            print(
                f"  bare loop {len(made) / loop:,.0f}/s, journal {len(made) / ours:,.0f}/s, RSS grown by {grown_mb:.0f} MB"
            )
            base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        loop, ours = statistics.median(w for w, _ in loops), statistics.median(w for w, _, _ in journals)
        print(
            f"median: bare loop {len(made) / loop:,.0f} results/s, {statistics.median(c for _, c in loops) / len(made) * 1e6:.1f} us CPU a result"
        )
        print(
            f"median: journal {len(made) / ours:,.0f} results/s, {statistics.median(c for _, c, _ in journals) / len(made) * 1e6:.1f} us CPU a result"
        )
        print(f"ratio: {loop / ours:.2f}")
        reading(journals[-1][2], len(made))


if __name__ == "__main__":
    main()
