"""The Celery engine beside a task a prompt (``bench/naive_celery.py``) and beside the direct engine, on Redis and RabbitMQ.

Usage: python bench/celery_cost.py flooded|idle|uneven [--broker redis|rabbitmq] [--runs N]

``flooded``: a server that answers at once, 50 in flight, prompts of 200 bytes and of 4 kB; requests/s and CPU by part, both less
the same command with one prompt. ``idle``: 48 slots in 12 servers, 0.15 to 0.45 s a request, two workers; the share of time in
which slots had nothing to do while there was work, with as many in flight as slots and with one more an instance.
``uneven``: one server of 0.1 s and one of 0.3 s a request, 4 slots each, a worker each; efficiency (least possible time over
the time from the first to the last) of both engines in turn. Brokers are started on free ports of loopback.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from celery_parts import BROKERS, HERE, Broker, arriero_worker, command, cpu_s, paced, part, serving

IN_FLIGHT = 50
SIZES = {"200 B": 200, "4 kB": 4096}
ROWS = {"arriero": 20_000, "task a prompt": 2_000}
SERVERS, SLOTS = 12, 4
FILLER = "The arriero drives a string of pack llamas over the mountains. "


def write_prompts(path: Path, rows: int, size_bytes: int = 64) -> Path:
    """A text of prompts of a size."""
    filler = FILLER * (size_bytes // len(FILLER) + 1)
    path.write_text(
        "".join(f"{f'Tell me about the number {row:08}. {filler}'[: size_bytes - 1]}.\n" for row in range(rows))
    )
    return path


def run_words(prompts: Path, output: Path, *more: str) -> list[str]:
    """``arriero run``."""
    words = [sys.executable, "-m", "arriero", "run", str(prompts), "-o", str(output), "-m", "m:1b", "--display", "none"]
    return [*words, *more]


@contextmanager
def instant() -> Iterator[str]:
    """The address of a server that answers at once."""
    with tempfile.TemporaryDirectory() as name:
        port_file = Path(name) / "port"
        words = [sys.executable, str(HERE / "instant_server.py"), str(port_file)]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
            while not (port_file.exists() and port_file.read_text()):
                assert process.poll() is None
            yield f"http://127.0.0.1:{port_file.read_text()}"
            process.communicate(b"")


def measured(words: list[list[str]], rows: int, groups: dict[str, int], env: dict[str, str] | None = None) -> dict:
    """Requests/s and CPU us a request by part: of a command with many prompts, less the same with one."""
    spent = []
    for one in words:
        before = {name: cpu_s(group) for name, group in groups.items()}
        wall_s, own_s = command(one, env)
        spent.append([wall_s, own_s, *(cpu_s(group) - before[name] for name, group in groups.items())])
    wall, *cpu = (most - least for least, most in zip(*spent, strict=True))
    return {
        "req/s": rows / wall,
        **{f"{name} us": 1e6 * s / rows for name, s in zip(("here", *groups), cpu, strict=True)},
    }


def flooded_arriero(broker: Broker, url: str, folder: Path, size_bytes: int, run: int) -> dict:
    """The Celery engine."""
    rows = ROWS["arriero"]
    texts = [write_prompts(folder / f"{n}.txt", n, size_bytes) for n in (1, rows)]
    with arriero_worker(broker, "bench", [url], folder) as worker:
        more = ["--engine", "celery", "--broker", broker.url, "-c", str(IN_FLIGHT)]
        words = [run_words(text, folder / f"a{run}-{size_bytes}-{text.stem}.json", *more) for text in texts]
        return measured(words, rows, {"worker": worker.pid, "broker": broker.group})


def flooded_naive(broker: Broker, url: str, folder: Path, size_bytes: int, run: int) -> dict:
    """A task a prompt."""
    rows = ROWS["task a prompt"]
    texts = [write_prompts(folder / f"{n}.txt", n, size_bytes) for n in (1, rows)]
    backend = broker.url if broker.kind == "redis" else "rpc://"
    env = {"BROKER": broker.url, "BACKEND": backend, "SERVER": url}
    words = [sys.executable, "-m", "celery", "-A", "naive_celery", "worker", "-P", "threads", "-c", str(IN_FLIGHT)]
    log = folder / f"naive-{run}-{size_bytes}.log"
    with part([*words, "-l", "INFO", "--without-mingle", "--without-gossip"], log, "ready", env) as worker:
        ours = [
            [sys.executable, str(HERE / "naive_celery.py"), str(text), str(folder / "naive.json")] for text in texts
        ]
        return measured(ours, rows, {"worker": worker.pid, "broker": broker.group}, env)


def flooded(broker: Broker, folder: Path, runs: int) -> None:
    """Both clients in turn; medians."""
    clients = {"arriero": flooded_arriero, "task a prompt": flooded_naive}
    with instant() as url:
        for title, size_bytes in SIZES.items():
            found: dict[str, list[dict]] = {name: [] for name in clients}
            for run in range(runs):
                for name, client in clients.items():
                    found[name].append(client(broker, url, folder, size_bytes, run))
            medians = {
                name: {key: statistics.median(one[key] for one in many) for key in many[0]}
                for name, many in found.items()
            }
            for name, figures in medians.items():
                told = "  ".join(f"{key} {value:,.0f}" for key, value in figures.items())
                print(f"{broker.kind:<9} {title:<6} {name:<14} {told}", flush=True)
            ratio = medians["arriero"]["req/s"] / medians["task a prompt"]["req/s"]
            print(f"{broker.kind:<9} {title:<6} {ratio:.1f} times its requests/s", flush=True)


def idle_share(busy: list[list[list[float]]], slots: int) -> float:
    """Share of slot time without work, from when every slot was busy once until work ran short."""
    steps = sorted([(a, 1) for server in busy for a, _ in server] + [(b, -1) for server in busy for _, b in server])
    starts = [at for at, step in steps if step > 0]
    total = slots * len(busy)
    full = starts[total]
    short = starts[-2 * total]
    used = sum(max(0.0, min(b, short) - max(a, full)) for server in busy for a, b in server)
    return 1 - used / (total * (short - full))


def idle(broker: Broker, folder: Path, runs: int) -> None:
    """Slots without work, with as many in flight as slots and with one more."""
    prompts = write_prompts(folder / "idle.txt", 2_000, 4096)
    for more in (0, 1):
        shares = []
        for run in range(runs):
            record = folder / f"{more}-{run}.json"
            with paced(record, *[f"{SLOTS}:0.15:0.45"] * SERVERS) as urls, ExitStack() as stack:
                for name, part_of in (("a", urls[: SERVERS // 2]), ("b", urls[SERVERS // 2 :])):
                    stack.enter_context(arriero_worker(broker, name, part_of, folder))
                count = str((SLOTS + more) * SERVERS)
                flags = ["--engine", "celery", "--broker", broker.url, "-c", count]
                command(run_words(prompts, folder / f"i{more}-{run}.json", *flags))
            shares.append(idle_share(json.loads(record.read_text())["busy"], SLOTS))
        told = ", ".join(f"{share:.2%}" for share in shares)
        print(
            f"{broker.kind:<9} {SERVERS * SLOTS} slots, {SLOTS + more} in flight an instance: idle {told}", flush=True
        )


def efficiency(busy: list[list[list[float]]], rows: int) -> float:
    """The least possible time over the time it took."""
    took_s = max(b for server in busy for _, b in server) - min(a for server in busy for a, _ in server)
    return rows / (SLOTS / 0.1 + SLOTS / 0.3) / took_s


def uneven(broker: Broker, folder: Path, runs: int) -> None:
    """Both engines in turn on the same two servers."""
    rows = 800
    prompts = write_prompts(folder / "uneven.txt", rows)
    pairs: list[tuple[float, float]] = []
    for run in range(runs):
        found = []
        for engine in ("celery", "asyncio"):
            record = folder / f"{engine}-{run}.json"
            with paced(record, f"{SLOTS}:0.1:0.1", f"{SLOTS}:0.3:0.3") as urls, ExitStack() as stack:
                flags = [word for url in urls for word in ("-i", url)]
                if engine == "celery":
                    for number, url in enumerate(urls):
                        stack.enter_context(arriero_worker(broker, f"u{number}", [url], folder))
                    flags = ["--engine", "celery", "--broker", broker.url]
                command(run_words(prompts, folder / f"{engine}-{run}.out.json", *flags))
            found.append(efficiency(json.loads(record.read_text())["busy"], rows))
        pairs.append((found[0], found[1]))
        print(f"{broker.kind:<9} celery {found[0]:.3f}  direct {found[1]:.3f}", flush=True)
    points = 100 * statistics.median(direct - celery for celery, direct in pairs)
    print(
        f"{broker.kind:<9} the direct engine is ahead by {points:.1f} points, median of {runs} paired runs", flush=True
    )


WORK = {"flooded": flooded, "idle": idle, "uneven": uneven}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WORK)
    parser.add_argument("--broker", choices=BROKERS, action="append")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for kind in options.broker or BROKERS:
        with tempfile.TemporaryDirectory() as name, serving(BROKERS[kind](Path(name) / "broker")) as broker:
            WORK[options.what](broker, Path(name), options.runs)


if __name__ == "__main__":
    main()
