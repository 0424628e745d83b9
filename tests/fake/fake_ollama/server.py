"""FakeOllama: one server on a real socket, with slots, loads, faults and a log of its own."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Self

from fake_ollama.faults import AT_ONCE, INSIDE, Fault, Script, from_json
from fake_ollama.generation import Generation, Speed
from fake_ollama.job import Job, read_body, read_job
from fake_ollama.listings import embed, show, tags
from fake_ollama.log import Entry, Log
from fake_ollama.refusal import RefusedError
from fake_ollama.runner import Loader, Model
from fake_ollama.wire import TEXT, Connection, Reply, Request, dumps

GENERATIONS = ("/api/chat", "/api/generate", "/v1/chat/completions")
METHODS = {
    "/": "GET",
    "/api/version": "GET",
    "/api/tags": "GET",
    "/api/ps": "GET",
    "/api/show": "POST",
    "/api/embed": "POST",
    "/v1/models": "GET",
    **dict.fromkeys(GENERATIONS, "POST"),
}


class FakeOllama:
    """One server; an async context manager that listens while it is open.

    Args:
        slots: ``OLLAMA_NUM_PARALLEL``.
        models: Names or models that are installed.
        version: ``0.24.x`` and before behave as the old generation.
        speed: Prefill, decode and load speeds.
        max_queue: ``OLLAMA_MAX_QUEUE``.
        max_loaded: ``OLLAMA_MAX_LOADED_MODELS``.
        keep_alive_s: ``OLLAMA_KEEP_ALIVE``.
        context: Automatic ``num_ctx``.
        serves: Path prefixes that exist (``/v1/`` alone: another OpenAI-compatible server).
        api_key: Bearer token wanted; empty: none.
        faults: What goes wrong.
        name: In the log.
        log: File for the log.
        port: Fixed port; 0: any free one.
        tls: Speak TLS with this context.
        deaf: Go on with an answer whose client has gone.
    """

    def __init__(
        self,
        slots: int = 1,
        models: Iterable[str | Model] = ("mistral:7b",),
        version: str = "0.33.0",
        *,
        speed: Speed | None = None,
        max_queue: int = 512,
        max_loaded: int = 1,
        keep_alive_s: float = 300.0,
        context: int = 4096,
        serves: tuple[str, ...] = ("/api/", "/v1/", "/"),
        api_key: str = "",
        faults: Iterable[Fault] = (),
        seed: int = 0,
        name: str = "fake",
        log: Path | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        deaf: bool = False,
    ) -> None:
        self.name = name
        self.version = version
        self.old = tuple(int(part) for part in version.split(".")[:2]) <= (0, 24)
        self.speed = speed or Speed()
        self.models = {m.name: m for m in (Model(m) if isinstance(m, str) else m for m in models)}
        self.context = context
        self.serves = serves
        self.api_key = api_key
        self.script = Script(list(faults), seed)
        self.log = Log(log)
        self.port = port
        self.tls = tls
        self.deaf = deaf
        self.in_flight = 0
        self.accepted = 0
        self._loader_settings: dict[str, Any] = {
            "slots": slots,
            "max_queue": max_queue,
            "max_loaded": max_loaded,
            "load_s": self.speed.load_s,
            "keep_alive_s": keep_alive_s,
        }
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()
        self.log.close()

    async def start(self) -> None:
        """Listen; after a ``stop`` on the same port again, with nothing loaded."""
        self.loader = Loader(**self._loader_settings)
        self._stopping = False
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", self.port, backlog=4096, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def _connection(self) -> Connection:
        self.accepted += 1
        return Connection(self.serve, self._connections, deaf=self.deaf)

    async def stop(self) -> None:
        """Go down at once: streams are cut without an end, as SIGTERM and SIGKILL do."""
        self.kill()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.gather(*(connection.over for connection in list(self._connections)))

    def kill(self) -> None:
        """Close the socket and every connection without a word."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        self.loader.close()

    async def until(self, holds: Callable[[FakeOllama], bool]) -> None:
        """Wait until something holds here; looked at whenever a request comes or ends."""
        while not holds(self):
            self._changed.clear()
            await self._changed.wait()

    def crash_model(self) -> None:
        """Kill the model processes; the server stays."""
        self.loader.die()

    async def serve(self, request: Request, reply: Reply) -> None:
        """Answer one request and record it."""
        if request.path == "/_fake":
            await self._control(request, reply)
            return
        entry = Entry(
            self.name, request.path, attempt=request.headers.get("x-arriero-attempt", ""), in_flight=self.in_flight
        )
        self.log.add(entry)
        reply.on_first_byte = lambda: setattr(entry, "began", time.monotonic())
        if request.path in GENERATIONS:
            self.in_flight += 1
        self._changed.set()
        try:
            await self._route(request, reply, entry)
            entry.status, entry.n_bytes = reply.status, reply.n_bytes
            fine = reply.status == 200 and (not entry.fault or entry.fault == "stall")
            self.log.end(entry, "completed" if fine else "failed")
        finally:
            if request.path in GENERATIONS:
                self.in_flight -= 1
            entry.status, entry.n_bytes = reply.status, reply.n_bytes
            if entry.fault == "kill" or not self._stopping:
                self.log.end(entry, "failed" if entry.fault else "disconnected")
            self.log.end(entry, "stopped")
            self._changed.set()

    async def _route(self, request: Request, reply: Reply, entry: Entry) -> None:
        path = request.path
        if not path.startswith(self.serves) or path not in METHODS:
            await reply.send(404, b"404 page not found", TEXT)
        elif request.method not in (METHODS[path], "HEAD"):
            await reply.send(405, b"405 method not allowed", TEXT)
        elif self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            await reply.json(401, {"error": "unauthorized"})
        elif path in GENERATIONS:
            await self._generate(request, reply, entry)
        else:
            entry.purpose = "discover"
            await self._listing(request, reply, entry)

    async def _generate(self, request: Request, reply: Reply, entry: Entry) -> None:
        job: Job | None = None
        try:
            job = read_job(request)
            entry.model, entry.purpose, entry.prompt = job.model, job.purpose, job.prompt_hash
            fault = None if job.turns.empty else self.script.next(job.turns.prompt, request.path)
            entry.fault = fault.kind if fault else ""
            if fault and fault.kind in AT_ONCE:
                await AT_ONCE[fault.kind](reply, fault)
                return
            await self._generation(job, self._model(job.model), fault, entry).play(reply)
        except RefusedError as refused:
            frames = refused.frames or (job.frames if job else None)
            if frames is None:
                await reply.json(refused.status, {"error": refused.text})
            else:
                await reply.send(refused.status, frames.error(refused.status, refused.text), frames.whole_type)

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise RefusedError(404, f"model '{name}' not found")
        return self.models[name]

    def _generation(self, job: Job, model: Model, fault: Fault | None, entry: Entry) -> Generation:
        return Generation(
            job,
            model,
            self.loader,
            self.speed,
            old=self.old,
            context=self.context,
            fault=fault if fault and fault.kind in INSIDE else None,
            entry=entry,
            kill=self.kill,
        )

    async def _listing(self, request: Request, reply: Reply, entry: Entry) -> None:
        fault = self.script.listing(request.path)
        if fault is not None and fault.kind in AT_ONCE:
            entry.fault = fault.kind
            await AT_ONCE[fault.kind](reply, fault)
            return
        try:
            await self._list(request, reply)
        except RefusedError as refused:
            await reply.json(refused.status, {"error": refused.text})

    async def _list(self, request: Request, reply: Reply) -> None:
        path = request.path
        if path == "/":
            await reply.send(
                200, b"" if request.method == "HEAD" else b"Ollama is running", "text/plain; charset=utf-8"
            )
        elif path == "/api/version":
            await reply.json(200, {"version": self.version})
        elif path == "/api/tags":
            await reply.json(200, {"models": tags(self.models.values(), old=self.old)})
        elif path == "/api/ps":
            await reply.json(200, {"models": self._resident()})
        elif path == "/v1/models":
            data = [{"id": n, "object": "model", "created": 0, "owned_by": "library"} for n in self.models]
            await reply.send(200, dumps({"object": "list", "data": data}) + b"\n", "application/json")
        elif path == "/api/show":
            await reply.json(200, show(read_body(request, "api.ShowRequest"), self.models))
        else:
            await reply.json(200, await embed(read_body(request, "api.EmbedRequest"), self))

    def _resident(self) -> list[dict[str, Any]]:
        """``/api/ps``: finished loads only; a dead process stays listed."""
        found = []
        for runner in self.loader.loaded.values():
            left_s = min(runner.keep_alive_s, 10**9)
            expires = (datetime.now(UTC) + timedelta(seconds=left_s)).isoformat().replace("+00:00", "Z")
            (listed,) = tags([runner.model], old=True)
            del listed["modified_at"]
            found.append({**listed, "expires_at": expires, "size_vram": 0, "context_length": runner.options["num_ctx"]})
        return found

    async def _control(self, request: Request, reply: Reply) -> None:
        """``/_fake``: for tests that run the fleet in another process. GET: state; POST: ``faults`` or ``action``."""
        if request.method == "POST":
            self._obey(read_body(request, "control"))
        running = sum(entry.how == "" for entry in self.log.entries)
        state = {"running": running, "loads": self.loader.loads, "entries": len(self.log.entries)}
        await reply.json(200, state)

    def _obey(self, order: Mapping[str, Any]) -> None:
        if "faults" in order:
            self.script.faults = from_json(order["faults"])
        if order.get("action") == "crash":
            self.crash_model()


def peak_overlap(entries: Iterable[Entry]) -> int:
    """The most answers that had begun and not ended at one moment."""
    marks = [(e.began, 1) for e in entries if e.began is not None]
    marks += [(e.ended if e.ended is not None else inf, -1) for e in entries if e.began is not None]
    most = now = 0
    for _, step in sorted(marks):
        now += step
        most = max(most, now)
    return most
