"""Parts of a Celery fleet as processes of their own, and the CPU that each has used."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "brokers"))

from broker import Broker, serving  # noqa: E402 - the brokers of the tests
from rabbitmq_broker import RabbitmqBroker  # noqa: E402 - the same
from redis_broker import RedisBroker  # noqa: E402 - the same

BROKERS = {"redis": RedisBroker, "rabbitmq": RabbitmqBroker}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

__all__ = ["BROKERS", "HERE", "Broker", "arriero_worker", "command", "cpu_s", "paced", "part", "serving"]


def cpu_s(group: int) -> float:
    """Processor seconds, user and system, of the processes of a group."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


@contextlib.contextmanager
def part(
    words: Sequence[str], log: Path, ready: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that has said that it is ready, and ends with the block."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            words,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            cwd=HERE,
        )
    try:
        until = time.monotonic() + 30
        while ready not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(90)


def arriero_worker(broker: Broker, name: str, urls: Sequence[str], folder: Path) -> contextlib.AbstractContextManager:
    """A worker before some instances."""
    flags = [word for url in urls for word in ("-i", url)]
    words = [sys.executable, "-m", "arriero", "worker", "--broker", broker.url, "--name", name, *flags]
    return part(words, folder / f"{name}.log", "ready")


def command(words: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Wall and processor seconds of a command that must succeed."""
    began = time.monotonic()
    with subprocess.Popen(
        words, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=HERE
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (words, process.returncode)
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def paced(record: Path, *specs: str) -> Iterator[list[str]]:
    """The addresses of servers with slots; their record is written when the block ends."""
    words = [sys.executable, str(HERE / "paced_server.py"), str(record), *specs]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["urls"]
        process.communicate(b"")
