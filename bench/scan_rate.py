"""How fast the scan reads, how soon a resume has its first request, and how long the event loop waits meanwhile.

Usage::

    python bench/scan_rate.py [rows]

Every rate is the median of three passes over files made in a temporary folder (60-byte lines for txt, 100-byte lines
with an id for jsonl); microseconds are of processor time, which other load on the machine does not change. ``loop wait`` is how late a coroutine that sleeps 1 ms wakes up while the scan runs.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from arriero.config.settings import InputFormat
from arriero.core.request import Request
from arriero.inputs.bind import Binder
from arriero.inputs.feed import Feed
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.journal.done import Done


def write_rows(folder: Path, rows: int) -> dict[InputFormat, Path]:
    """Make the inputs, each with ``rows`` rows."""
    text, json = folder / "rows.txt", folder / "rows.jsonl"
    with text.open("w") as file:
        file.writelines(
            f"Write one sentence about the number {row:09d} and why.\n".rjust(60, "A") for row in range(rows)
        )
    with json.open("w") as file:
        file.writelines(
            f'{{"id": "row-{row:09d}", "prompt": "Write one sentence about the number {row:09d} and why it is odd."}}\n'
            for row in range(rows)
        )
    return {"txt": text, "jsonl": json}


def median_s(measure: Callable[[], float]) -> tuple[float, float]:
    """Median of three, in seconds passed and in seconds of processor time."""
    passed, used = [], []
    for _ in range(3):
        began = time.process_time()
        passed.append(measure())
        used.append(time.process_time() - began)
    return statistics.median(passed), statistics.median(used)


def scan_s(
    path: Path, input_format: InputFormat, finished: Callable[[], Iterator[tuple[int, bytes, bool]]] | None
) -> float:
    """Seconds of one scan, with the merge of a resume if ``finished`` is given."""
    source = FileSource.open(str(path), input_format)
    scan = Scan(source, Binder(), finished=finished() if finished else None)
    began = time.perf_counter()
    scan.start()
    scan.wait(600)
    took = time.perf_counter() - began
    assert scan.error is None, scan.error
    source.close()
    return took


def first_request_s(path: Path, input_format: InputFormat, hashes: list[tuple[int, bytes, bool]]) -> float:
    """Seconds from the start of a resume to its first new request: all rows but the last one are finished."""
    source = FileSource.open(str(path), input_format)
    binder = Binder()
    began = time.perf_counter()
    scan = Scan(source, binder, finished=iter(hashes))
    scan.start()
    feed = Feed(
        source,
        binder,
        scan,
        done=Done.of(len(hashes), ((row, 1) for row in range(len(hashes)))),
        attempts_used={},
        batch=1,
    )
    while not feed.take(1, 1):
        if not feed.more_now:
            time.sleep(0.001)
    took = time.perf_counter() - began
    scan.stop()
    source.close()
    return took


def feed_us(path: Path, input_format: InputFormat) -> tuple[float, float]:
    """Microseconds a request of the feed, and milliseconds of its longest call, after the scan."""
    source = FileSource.open(str(path), input_format)
    binder = Binder()
    scan = Scan(source, binder)
    scan.start()
    scan.wait(600)
    feed = Feed(source, binder, scan, done=Done(), attempts_used={}, batch=1)
    requests, longest, began = 0, 0.0, time.perf_counter()
    while not feed.ended:
        at = time.perf_counter()
        requests += sum(isinstance(one, Request) for one in feed.take(4096, 1 << 24))
        longest = max(longest, time.perf_counter() - at)
    took = time.perf_counter() - began
    source.close()
    return took / requests * 1e6, longest * 1e3


async def loop_waits_ms(path: Path, input_format: InputFormat) -> list[float]:
    """How late a 1 ms sleep wakes while a scan runs, sorted."""
    source = FileSource.open(str(path), input_format)
    scan = Scan(source, Binder())
    scan.start()
    late = []
    while scan.total is None and scan.error is None:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - began - 0.001) * 1e3)
    source.close()
    return sorted(late)


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with tempfile.TemporaryDirectory() as folder:
        for input_format, path in write_rows(Path(folder), rows).items():
            source = FileSource.open(str(path), input_format)
            hashes = [(row.position, row.hash, False) for row in source.rows()]
            source.close()
            plain, plain_cpu = median_s(lambda: scan_s(path, input_format, None))  # noqa: B023  called at once
            merge, merge_cpu = median_s(lambda: scan_s(path, input_format, lambda: iter(hashes)))  # noqa: B023
            first, _ = median_s(lambda: first_request_s(path, input_format, hashes[:-1]))  # noqa: B023
            request_us, longest_ms = feed_us(path, input_format)
            late = asyncio.run(loop_waits_ms(path, input_format))
            print(f"{input_format}, {rows:,} rows")
            print(f"  scan                      {rows / plain:12,.0f} rows/s, {plain_cpu / rows * 1e6:.2f} us a row")
            print(f"  scan with merge (resume)  {rows / merge:12,.0f} rows/s, {merge_cpu / rows * 1e6:.2f} us a row")
            print(f"  first request of a resume {first:12.2f} s  (all rows but one finished)")
            print(f"  feed                      {request_us:12.1f} us a request, longest call {longest_ms:.2f} ms")
            print(f"  loop wait                 {late[len(late) // 2]:12.2f} ms median, {late[-1]:.2f} ms at most")
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB (the list of hashes included)")


if __name__ == "__main__":
    main()
