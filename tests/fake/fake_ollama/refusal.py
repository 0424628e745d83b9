"""RefusedError: a request that is answered with an error instead of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_ollama.frames import Frames


class RefusedError(Exception):
    """Status and text; ``frames`` says in which dialect if it is known already."""

    def __init__(self, status: int, text: str, frames: Frames | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.frames = frames
