"""The real command line as a process of its own, and a fake fleet in a thread whose log the test can read and await."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fake_ollama import INSTANT, Entry, FakeGateway, FakeOllama, answer
from fake_ollama.generation import Generation
from fake_ollama.server import GENERATIONS
from fake_ollama.wire import Reply, Request

from arriero.client import verify
from arriero.errors import ArrieroError
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult

COMMAND = [sys.executable, "-m", "arriero"]
PATIENCE_S = 18.0
"""No wait of a test is longer."""


class Watched(FakeOllama):
    """A fake server that keeps the bodies of generations and tells whenever a request came or ended."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.bodies: list[dict[str, Any]] = []
        self.changed = threading.Condition()

    async def serve(self, request: Request, reply: Reply) -> None:
        if request.path in GENERATIONS:
            self.bodies.append(json.loads(request.body))
        try:
            await super().serve(request, reply)
        finally:
            self._tell()

    async def _route(self, request: Request, reply: Reply, entry: Entry) -> None:
        self._tell()  # it is in the log now
        await super()._route(request, reply, entry)

    def _generation(self, *arguments: Any) -> Generation:
        self._tell()  # its fault is known now
        return super()._generation(*arguments)

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()


@dataclass
class Fleet:
    """Fake servers that listen; a test talks to them from its own thread."""

    servers: list[Watched]
    loop: asyncio.AbstractEventLoop
    gateway: FakeGateway | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def urls(self) -> list[str]:
        return [self.gateway.url] if self.gateway else [server.url for server in self.servers]

    @property
    def flags(self) -> list[str]:
        """``-i`` for each address."""
        return [word for url in self.urls for word in ("-i", url)]

    @property
    def entries(self) -> list[Entry]:
        return [entry for server in self.servers for entry in list(server.log.entries)]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for server in self.servers for body in server.bodies]

    def requests(self, how: str | None = None) -> list[Entry]:
        """Entries of the batch's own generations."""
        return [one for one in self.entries if one.purpose == "request" and how in (None, one.how)]

    def until(self, holds: Callable[[Fleet], Any]) -> None:
        """Wait until something holds; looked at whenever a request comes or ends."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self), PATIENCE_S), self.entries[-5:]

    def until_completed(self, count: int) -> None:
        self.until(lambda fleet: len(fleet.requests("completed")) >= count)

    def calm(self) -> None:
        """From now on no fault strikes and answers come at once."""
        for server in self.servers:
            server.script.faults = []
            server.speed = INSTANT

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the servers' own loop, such as ``servers[0].stop()``."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


@contextmanager
def fake_fleet(
    *slots: int, gateway: Mapping[str, Any] | None = None, each: Sequence[Mapping[str, Any]] = (), **settings: Any
) -> Iterator[Fleet]:
    """A server for each number of slots, instant unless ``speed`` says otherwise; ``each`` has further settings of one."""
    servers = []
    for number, places in enumerate(slots):
        own = {"speed": INSTANT, **settings, **(each[number] if each else {})}
        servers.append(Watched(places, name=f"fake-{number}", seed=number, **own))
    front = FakeGateway(servers, **gateway) if gateway is not None else None
    loop = asyncio.new_event_loop()
    fleet = Fleet(servers, loop, front)
    for server in servers:
        server.changed = fleet.changed
    thread = threading.Thread(target=loop.run_forever, name="fake-fleet")
    thread.start()
    stack = AsyncExitStack()
    try:
        for one in [front] if front else servers:
            fleet.do(stack.enter_async_context(one))
        yield fleet
    finally:
        fleet.do(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Lines of jsonl on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command under way; what it says is gathered while it runs.

    Attributes:
        process: The process.
    """

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None, stdin: Any = None) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=folder,
            env=environment(folder, env),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._heard = threading.Condition()
        self._texts: dict[str, list[str]] = {"out": [], "err": []}
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        streams = {"out": self.process.stdout, "err": self.process.stderr}
        self._threads = [threading.Thread(target=self._read, args=one) for one in streams.items()]
        for thread in self._threads:
            thread.start()

    @property
    def err(self) -> str:
        return "".join(self._texts["err"])

    def until_said(self, words: str) -> None:
        """Wait until standard error has the words."""
        with self._heard:
            assert self._heard.wait_for(lambda: words in self.err, PATIENCE_S), self.err

    def end(self, number: int | None = None, patience_s: float = PATIENCE_S) -> Ended:
        """Send a signal if one is given, and wait for the end."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {patience_s} s:\n{self.err}") from None
        finally:
            for thread in self._threads:
                thread.join()
        return Ended(code, "".join(self._texts["out"]), self.err)

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._heard:
                    self._texts[name].append(line)
                    self._heard.notify_all()


@contextmanager
def started(folder: Path, *words: str, **settings: Any) -> Iterator[Running]:
    """A command beside the test; gone when the block is left."""
    running = Running(folder, *words, **settings)
    try:
        yield running
    finally:
        running.process.kill()
        running.end()


def arriero(folder: Path, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> Ended:
    """A command from its start to its end."""
    if stdin is None:
        return Running(folder, *words, env=env).end()
    with (folder / ".stdin").open("w+") as file:
        file.write(stdin)
        file.flush()
        file.seek(0)
        return Running(folder, *words, env=env, stdin=file).end()


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's own environment without what would decide for the command; a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARRIERO_", "OLLAMA_", "XDG_"))}
    for name in ("CI", "PYTHONDONTWRITEBYTECODE"):  # the second would compile every module anew for each command
        kept.pop(name, None)
    return {**kept, "HOME": str(folder / ".home"), "NO_COLOR": "1", **(more or {})}


def resume_words(err: str) -> list[str]:
    """The words of the command that the summary prints, without the program's name."""
    (line,) = [line for line in err.splitlines() if line.startswith("resume ")]
    return shlex.split(line.partition("arriero ")[2])


def prompts(count: int) -> list[str]:
    return [f"Tell me about the number {number}." for number in range(count)]


def write_prompts(folder: Path, lines: Iterable[str] | int, name: str = "prompts.txt") -> list[str]:
    """A text of prompts; a number stands for so many."""
    rows = prompts(lines) if isinstance(lines, int) else list(lines)
    (folder / name).write_text("".join(f"{row}\n" for row in rows))
    return rows


def write_rows(folder: Path, rows: Iterable[Mapping[str, Any]], name: str = "rows.jsonl") -> None:
    (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def read_results(folder: Path, name: str = "results.json") -> list[dict[str, Any]]:
    """Records of a ``.json`` or ``.jsonl`` output."""
    text = (folder / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if ".jsonl" in name else json.loads(text)


def assert_answered(records: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> None:
    """Every prompt is there, in order, with the answer that belongs to it."""
    assert [record["prompt"] for record in records] == list(asked)
    assert [record.get("response") for record in records] == [answer(prompt) for prompt in asked]
    assert {record["status"] for record in records} <= {"success"}


def assert_verified(folder: Path, output: str = "results.json") -> None:
    """What ``arriero verify`` checks, without a process of its own."""
    with chdir(folder):
        checked = verify(output, None)
    assert checked.ok, checked.lines()


def stored_results(folder: Path, journal: str = "results.json.journal") -> list[StoredResult]:
    with JournalReader(folder / journal) as reader:
        return list(reader.results())


def wait_committed(folder: Path, count: int, running: Running, journal: str = "results.json.journal") -> None:
    """Read the journal until it holds so many results; the batch must still run."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with suppress(ArrieroError), JournalReader(folder / journal) as reader:  # it may be in the making
            if reader.counts().finished >= count:
                return
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {running.process.wait(0.02)}: {running.err}")
    raise AssertionError(f"not {count} results after {PATIENCE_S} s: {running.err}")
