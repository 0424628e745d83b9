"""FakeFleet: several servers, opened and closed together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Self

from fake_ollama.log import Entry
from fake_ollama.server import FakeOllama


class FakeFleet:
    """An async context manager over servers."""

    def __init__(self, servers: Sequence[FakeOllama]) -> None:
        self.servers = list(servers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in self.servers:
            await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def entries(self) -> list[Entry]:
        """All servers' entries."""
        return [entry for server in self.servers for entry in server.log.entries]
