"""OllamaFleet: real Ollama servers that are up, and how a command line names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OllamaFleet:
    """Real Ollama servers that hold ``model``, and perhaps ``embedder``, which only embeds.

    ``logs`` are empty for servers that somebody else started.
    """

    urls: tuple[str, ...]
    model: str
    embedder: str
    logs: tuple[Path, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The fleet, the model and options that suit two cores, as ``arriero run`` takes them."""
        return self.flags_of(self.model)

    def flags_of(self, model: str) -> list[str]:
        """The same for another model."""
        options = ("num_thread=1", "num_ctx=512", "num_predict=24")
        pairs = [("-m", model), *(("-i", url) for url in self.urls), *(("-O", option) for option in options)]
        return [word for pair in pairs for word in pair]

    def answered(self, path: str) -> int:
        """Requests for a path that the servers logged with status 200."""
        lines = [line for log in self.logs for line in log.read_text(errors="replace").splitlines()]
        return sum("[GIN]" in line and "| 200 |" in line and f'"{path}"' in line for line in lines)
