"""FakeGateway: one address that hides several servers, with the habits of OLOL."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any, Self

from fake_ollama.server import FakeOllama
from fake_ollama.wire import JSON, TEXT, Connection, Reply, Request, dumps

TIMINGS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class FakeGateway:
    """Serves nothing but ``POST /api/generate`` and deals it out in turn.

    It drops ``truncate``, answers every error with status 200, and may leave timings out or answer in one piece
    although a stream was asked for. The hidden servers keep the log.

    Args:
        hidden: The servers behind it; they need not listen.
        timings: Whether answers keep their durations.
        streams: Whether a stream is passed on; else the answer comes in one piece.
        status_200: Whether errors come as 200.
    """

    def __init__(
        self,
        hidden: Sequence[FakeOllama],
        *,
        timings: bool = True,
        streams: bool = True,
        status_200: bool = True,
        port: int = 0,
    ) -> None:
        self.hidden = hidden
        self.timings = timings
        self.streams = streams
        self.status_200 = status_200
        self.port = port
        self._turn = itertools.cycle(hidden)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        for server in self.hidden:
            await server.start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.serve, self._connections), "127.0.0.1", self.port, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.gather(*(connection.over for connection in list(self._connections)))
        for server in self.hidden:
            await server.__aexit__()

    async def serve(self, request: Request, reply: Reply) -> None:
        """Pass a generation on; nothing else exists."""
        if request.path != "/api/generate":
            await reply.send(404, b'{"detail":"Not Found"}', JSON)
            return
        if request.method != "POST":
            await reply.send(405, b"Method Not Allowed", TEXT)
            return
        body = json.loads(request.body)
        body.pop("truncate", None)
        if not self.streams:
            body["stream"] = False
        passed = Request("POST", "/api/generate", request.headers, dumps(body))
        await next(self._turn).serve(passed, _Passing(reply, self))


class _Passing(Reply):
    """Writes a hidden server's answer as the gateway gives it on."""

    def __init__(self, outer: Reply, gateway: FakeGateway) -> None:
        super().__init__(outer._connection)
        self._gateway = gateway

    async def send(self, status: int, body: bytes, content_type: str = JSON, *extra: str) -> None:
        shown = 200 if self._gateway.status_200 else status
        await super().send(shown, self._strip(body), content_type, *extra)
        self.status = status  # the hidden server's log keeps the truth

    async def piece(self, data: bytes) -> None:
        await super().piece(self._strip(data))

    async def stream(self, content_type: str, pieces: list[bytes]) -> None:
        await super().stream(content_type, [self._strip(piece) for piece in pieces])

    def _strip(self, data: bytes) -> bytes:
        if self._gateway.timings or b"_duration" not in data:
            return data
        value: dict[str, Any] = json.loads(data)
        return dumps({k: v for k, v in value.items() if k not in TIMINGS}) + b"\n"
