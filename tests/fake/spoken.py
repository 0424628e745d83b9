"""Spoken: one right answer in each dialect, streamed and whole, and the HTTP around it, to be bent by a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fake_ollama.frames import Frames, OllamaFrames, OpenAIFrames, Stats
from fake_ollama.wire import chunk
from flying import MODEL

TOKENS = ("Über ", "die ", "hohen ", "Pässe ", "\u2028zieht ", "🦙 ", "\0 ", "[DONE]")
TEXT = "".join(TOKENS)
STATS = Stats(7_000_000, 1_000_000, 11, 2_000_000, len(TOKENS), 3_000_000)


@dataclass(frozen=True)
class Talk:
    """A dialect, streaming or not."""

    dialect: str
    stream: bool

    @property
    def name(self) -> str:
        return f"{self.dialect}-{'stream' if self.stream else 'whole'}"

    @property
    def ollama(self) -> bool:
        return self.dialect == "ollama"

    @property
    def type(self) -> str:
        frames = self.frames()
        return frames.stream_type if self.stream else frames.whole_type

    def frames(self, model: str = MODEL) -> Frames:
        return OllamaFrames(model, chat=True) if self.ollama else OpenAIFrames(model, usage=True)

    def tokens(self, texts: Sequence[str] = TOKENS, model: str = MODEL) -> list[bytes]:
        """The pieces before the end, one a token; a whole answer has none."""
        frames = self.frames(model)
        return [frames.token(text) for text in texts] if self.stream else []

    def end(self, texts: Sequence[str] = TOKENS, model: str = MODEL) -> bytes:
        """The last piece of a stream, or the whole."""
        frames = self.frames(model)
        return frames.last("stop", STATS, {}) if self.stream else frames.whole("".join(texts), "stop", STATS, {})

    def pieces(self, texts: Sequence[str] = TOKENS, model: str = MODEL) -> list[bytes]:
        """A whole answer in pieces."""
        return [*self.tokens(texts, model), self.end(texts, model)]

    def body(self, texts: Sequence[str] = TOKENS, model: str = MODEL) -> bytes:
        return b"".join(self.pieces(texts, model))

    def unfinished(self) -> bytes:
        """An answer that ends properly for HTTP and has no end of its own."""
        return b"".join(self.tokens()) if self.stream else self.frames().whole(TEXT, None, STATS, {})

    def error(self, text: str) -> bytes:
        """An error object where a piece of the answer, or all of it, should be."""
        error = self.frames().error(200, text)
        return b"data: " + error.strip() + b"\n\n" if self.stream and not self.ollama else error + b"\n"


def head(kind: str = "application/json", *headers: str, status: str = "200 OK", http: str = "1.1") -> bytes:
    """Status line and headers."""
    kinds = (f"Content-Type: {kind}",) if kind else ()
    return "\r\n".join((f"HTTP/{http} {status}", *kinds, *headers, "", "")).encode("latin-1")


def sized(body: bytes, kind: str = "application/json", *headers: str, status: str = "200 OK") -> bytes:
    """A reply with its length."""
    return head(kind, f"Content-Length: {len(body)}", *headers, status=status) + body


def chunked(
    pieces: Iterable[bytes], kind: str = "application/json", *headers: str, last: bytes = b"0\r\n\r\n"
) -> bytes:
    """A reply in chunks."""
    return head(kind, "Transfer-Encoding: chunked", *headers) + b"".join(map(chunk, pieces)) + last


def good(talk: Talk) -> bytes:
    """The right answer, as a server of the dialect sends it."""
    return chunked(talk.pieces(), talk.type) if talk.stream else sized(talk.body(), talk.type)
