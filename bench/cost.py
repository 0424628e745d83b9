"""CPU a request beside a plain asyncio script (``bench/naive_asyncio.py``), against a server that answers at once.

Usage: python bench/cost.py [ROWS]

Prints, for each client: CPU microseconds a request (user and system of the whole process, start included), the same without
the start, wall seconds and peak memory. Runs are interleaved; the median of three is printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
IN_FLIGHT = "64"


def measure(command: list[str]) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and peak memory in KB of a command."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (command, process.returncode)
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss


def clients(url: str, prompts: Path, folder: Path, run: int) -> dict[str, list[str]]:
    """The commands to compare."""
    naive = [sys.executable, str(HERE / "naive_asyncio.py"), url, str(prompts), str(folder / "naive.json"), IN_FLIGHT]
    arriero = [sys.executable, "-m", "arriero", "run", str(prompts), "-o", str(folder / f"r{run}-{prompts.stem}.json")]
    return {
        "arriero": [*arriero, "-m", "m:1b", "-c", IN_FLIGHT, "-i", url, "--display", "none"],
        "script": naive,
        "script, uvloop and stream": [*naive, "--uvloop", "--stream"],
    }


def main(rows: int) -> None:
    """Compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, one = folder / "many.txt", folder / "one.txt"
        many.write_text("".join(f"Tell me something about the number {n}, please.\n" for n in range(rows)))
        one.write_text("Tell me something.\n")
        port_file = folder / "port"
        server = subprocess.Popen(
            [sys.executable, str(HERE / "instant_server.py"), str(port_file)], stdin=subprocess.PIPE
        )
        try:
            while not port_file.exists() or not port_file.read_text():
                time.sleep(0.05)
            url = f"http://127.0.0.1:{port_file.read_text()}"
            figures: dict[str, list[tuple[float, float, float, int]]] = {}
            for run in range(3):
                for client, command in clients(url, many, folder, run).items():
                    cpu, wall, peak = measure(command)
                    start, _, _ = measure(clients(url, one, folder, run)[client])
                    figures.setdefault(client, []).append((cpu / rows * 1e6, (cpu - start) / rows * 1e6, wall, peak))
        finally:
            server.communicate(b"")
    print(f"{rows:,} requests, {IN_FLIGHT} in flight, medians of 3 interleaved runs")
    print(f"{'client':<28}{'us/request':>12}{'less start':>12}{'wall s':>9}{'peak MB':>9}")
    for client, runs in figures.items():
        cpu, less, wall, peak = (statistics.median(run[k] for run in runs) for k in range(4))
        print(f"{client:<28}{cpu:>12.0f}{less:>12.0f}{wall:>9.1f}{peak / 1024:>9.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
