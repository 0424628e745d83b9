"""Record anew what real Ollama servers answer, for the conformance tests.

::

    python tests/conformance/record.py --out DIR                 the Ollama that .ci/real_ollama.py installed
    python tests/conformance/record.py --out DIR --root ROOT     another one: ROOT/bin/ollama, ROOT/models
    python tests/conformance/record.py --out DIR --url URL       one that runs: without what kills it, which is said
    ARRIERO_TEST_RECORDINGS=DIR python -m pytest tests/conformance/test_backends.py

The requests are those of a recording (``--like``, the newest one here): a new case is a line there with ``case`` and
``request``. Each is sent as it stands, but on one thread. ``DIR/vVERSION.jsonl`` is written: an exchange a line, with
its pieces as they came. Exit code 3: some cases are missing, named on standard error.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "live"))

from exchange import PATIENCE_S, Case, Exchange  # noqa: E402 - lies beside this file, which is no package
from ollama_install import installed  # noqa: E402 - lies in another folder, which is no package
from real_ollama import OllamaServer  # noqa: E402 - the same

CONTEXT_TOKENS = "512"
FIRST = (
    "ps-empty", "chat-preload", "ps-loaded", "chat-unload", "chat-unload-not-loaded",
    "generate-preload", "ps-forever", "generate-preload-prompt-empty", "ps-600",
)  # fmt: skip
"""What depends on what the server holds comes in this order; the others in the order of their names."""

BUSY = re.compile(r"-busy-503$")
KILLED = re.compile(r"-(death|death-stream|server-(sigkill|sigterm)(-stream)?)$")
WAITING = "embedder-death-waiting"
DELAYS_S = (0.3, 0.15, 0.6, 0.05, 1.2)
"""How long an answer in one piece is left alone before its server is killed; the next one if that was not the middle."""

BUSY_CLIENTS = 10


class Recorder:
    """Sends every case to a server in the state that the case needs."""

    def __init__(self, cases: list[Case], root: Path | None) -> None:
        self._cases = {case["case"]: case for case in cases}
        self._root = root
        self.version = ""
        self.done: dict[str, Case] = {}

    def plain(self, url: str) -> None:
        """Cases that only ask."""
        self.version = f"v{self._told(url)}"
        staged = [name for name in self._cases if BUSY.search(name) or KILLED.search(name) or name == WAITING]
        names = [*FIRST, *sorted(self._cases.keys() - set(FIRST) - set(staged))]
        for name in names:
            if name in self._cases:
                exchange = Exchange(url, self._cases[name], self._hidden())
                exchange.send()
                self._keep(exchange)

    def staged(self) -> None:
        """Cases that need a full queue, or a server that is killed."""
        for name in sorted(self._cases):
            if BUSY.search(name):
                self._busy(name)
            elif KILLED.search(name):
                self._kill(name)

    def missing(self) -> list[str]:
        """Cases that were not recorded."""
        return sorted(self._cases.keys() - self.done.keys())

    def _told(self, url: str) -> str:
        probe = Exchange(url, {"case": "", "request": {"method": "GET", "path": "/api/version", "body": None}})
        probe.send()
        return str(json.loads(probe.pieces[0][1])["version"])

    def _keep(self, exchange: Exchange) -> None:
        self.done[exchange.case["case"]] = exchange.record(self.version)

    def _hidden(self) -> str:
        return str(self._root) if self._root else ""

    @contextmanager
    def server(self, slots: int, **settings: str) -> Iterator[OllamaServer]:
        """A fresh one while the block runs."""
        assert self._root is not None
        with tempfile.TemporaryDirectory(prefix="arriero-record-") as folder:
            server = OllamaServer(self._root, slots, Path(folder) / "server", settings=settings)
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def _busy(self, name: str) -> None:
        with self.server(1, OLLAMA_MAX_QUEUE="2", OLLAMA_CONTEXT_LENGTH=CONTEXT_TOKENS) as server:
            exchanges = [Exchange(server.url, self._cases[name], self._hidden()) for _ in range(BUSY_CLIENTS)]
            together(exchanges)
            refused = [exchange for exchange in exchanges if exchange.status == http.client.SERVICE_UNAVAILABLE]
            if refused:
                self._keep(refused[0])

    def _kill(self, name: str) -> None:
        case = self._cases[name]
        for delay_s in DELAYS_S:
            with self.server(2, OLLAMA_CONTEXT_LENGTH=CONTEXT_TOKENS) as server:
                Exchange(server.url, loading(case)).send()
                killed = Exchange(server.url, case, self._hidden())
                waiting = self._waiting(server, name)
                kill = killer(server, name)
                together([killed, *waiting], lambda ex=killed, end=kill, after=delay_s: strike(ex, end, after))
            if not killed.whole and not any(exchange.whole for exchange in waiting):
                for exchange in (killed, *waiting):
                    self._keep(exchange)
                return

    def _waiting(self, server: OllamaServer, name: str) -> list[Exchange]:
        wanted = name == WAITING.removesuffix("-waiting") and WAITING in self._cases
        return [Exchange(server.url, self._cases[WAITING], self._hidden())] if wanted else []


def loading(case: Case) -> Case:
    """The same request without a prompt: it only loads, so that the killed one is in the middle of its answer."""
    body = case["request"]["body"]
    empty = {"model": body["model"], "stream": False, **({"options": body["options"]} if "options" in body else {})}
    path = case["request"]["path"]
    if path.startswith("/v1/"):
        path = "/api/chat"  # the same automatic options
    return {"case": "", "request": {"method": "POST", "path": path, "body": {**empty, **prompt(path)}}}


def prompt(path: str) -> dict[str, object]:
    """What an endpoint takes for nothing to answer."""
    return {"/api/chat": {"messages": []}, "/api/embed": {"input": []}}.get(path, {})


def killer(server: OllamaServer, name: str) -> Callable[[], None]:
    """What ends a server, or its model process, as the case's name says."""
    if "-server-" not in name:
        return lambda: server.signal_models(signal.SIGKILL)
    number = signal.SIGTERM if "sigterm" in name else signal.SIGKILL
    return lambda: server.signal(number)


def strike(exchange: Exchange, end: Callable[[], None], after_s: float) -> None:
    """End it in the middle of an answer: when a stream has begun, else after a while."""
    if exchange.case["request"]["body"].get("stream"):
        exchange.began.wait(PATIENCE_S)
    else:
        time.sleep(after_s)
    end()


def together(exchanges: list[Exchange], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Send all at once, do something, and wait for their ends."""
    threads = [threading.Thread(target=exchange.send) for exchange in exchanges]
    for thread in threads:
        thread.start()
    meanwhile()
    for thread in threads:
        thread.join()


def read_cases(path: Path) -> list[Case]:
    """The requests of a recording, on one thread: more of them than cores would slow each other down."""
    text = path.read_text(encoding="utf-8").replace('"num_thread":2', '"num_thread":1')
    return [
        {key: line[key] for key in ("case", "request", "note") if key in line}
        for line in map(json.loads, text.splitlines())
    ]


def newest() -> Path:
    """The recording here with the highest version."""
    return max(HERE.glob("recordings/v*.jsonl"), key=lambda path: [int(part) for part in re.findall(r"\d+", path.stem)])


def main() -> int:
    """Record, write, and say what is missing."""
    parser = argparse.ArgumentParser(description="Record what real Ollama servers answer.")
    parser.add_argument("--out", type=Path, required=True, help="folder for vVERSION.jsonl")
    parser.add_argument("--like", type=Path, default=newest(), help="recording whose requests are sent")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--url", default="", help="a server that runs and must not be killed")
    whose.add_argument("--root", type=Path, default=installed(), help="an installation to start servers from")
    chosen = parser.parse_args()
    if not chosen.url and chosen.root is None:
        parser.error("no real Ollama: python .ci/real_ollama.py install, or --root, or --url")
    recorder = Recorder(read_cases(chosen.like), None if chosen.url else chosen.root)
    if chosen.url:
        recorder.plain(chosen.url)
    else:
        with recorder.server(4, OLLAMA_CONTEXT_LENGTH=CONTEXT_TOKENS) as server:
            recorder.plain(server.url)
        recorder.staged()
    chosen.out.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(recorder.done[name], separators=(",", ":"), ensure_ascii=False) for name in sorted(recorder.done)
    ]
    path = chosen.out / f"{recorder.version}.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{path}: {len(lines)} exchanges")  # noqa: T201 - a program
    for name in recorder.missing():
        print(f"not recorded: {name}", file=sys.stderr)  # noqa: T201 - the same
    return 3 if recorder.missing() else 0


if __name__ == "__main__":
    sys.exit(main())
