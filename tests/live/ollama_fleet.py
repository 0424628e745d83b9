"""OllamaFleet: real Ollama servers that are up, and how a command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ollama_install import EMBEDDER, MODELS
from real_ollama import OllamaServer
from server_log import ServerLog


@dataclass(frozen=True)
class OllamaFleet:
    """Real Ollama servers that hold ``model``, and perhaps ``embedder``, which only embeds.

    ``logs``, ``slots`` and ``servers`` are empty for servers that somebody else started.
    """

    urls: tuple[str, ...]
    model: str
    embedder: str
    logs: tuple[Path, ...] = ()
    slots: tuple[int, ...] = ()
    servers: tuple[OllamaServer, ...] = ()

    @classmethod
    def of(cls, servers: Sequence[OllamaServer]) -> Self:
        """Servers that we started ourselves."""
        urls, logs = tuple(server.url for server in servers), tuple(server.log for server in servers)
        return cls(urls, MODELS[1], EMBEDDER, logs, tuple(server.slots for server in servers), tuple(servers))

    @property
    def flags(self) -> list[str]:
        """The fleet, the model and options that suit two cores, as ``arriero run`` takes them."""
        return self.flags_of(self.model)

    def flags_of(self, model: str, *options: str, urls: Sequence[str] | None = None) -> list[str]:
        """The same for another model, for other addresses (of proxies), or with other options than 24 tokens."""
        options = ("num_thread=1", "num_ctx=512", *(options or ("num_predict=24",)))
        pairs = [
            *(("-i", url) for url in (self.urls if urls is None else urls)),
            *(("-O", option) for option in options),
        ]
        return ["-m", model, *(word for pair in pairs for word in pair)]

    def read_logs(self) -> list[ServerLog]:
        """What each server wrote so far."""
        return [ServerLog.read(log) for log in self.logs]

    def answered(self, path: str) -> int:
        """Requests for a path that the servers logged with status 200."""
        return sum(log.statuses(path)[200] for log in self.read_logs())
