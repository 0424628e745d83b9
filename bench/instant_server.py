"""An Ollama that answers at once: what is left is the cost of the client.

Usage: python bench/instant_server.py PORT_FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

WORDS = " ".join(["word"] * 24)
TIMES = b'"total_duration":2000000,"load_duration":1000000,"prompt_eval_count":12,"prompt_eval_duration":500000,"eval_count":24,"eval_duration":500000'
STAMP = b'"model":"m:1b","created_at":"2026-01-01T00:00:00.0Z"'
FINAL = b'"done":true,"done_reason":"stop",' + TIMES
WHOLE = b"{" + STAMP + b',"message":{"role":"assistant","content":"' + WORDS.encode() + b'"},' + FINAL + b"}"
WHOLE_GENERATE = b"{" + STAMP + b',"response":"' + WORDS.encode() + b'",' + FINAL + b"}"
PIECES = (
    b"{" + STAMP + b',"message":{"role":"assistant","content":"' + WORDS.encode() + b'"},"done":false}\n',
    b"{" + STAMP + b',"message":{"role":"assistant","content":""},' + FINAL + b"}\n",
)
LOADED = b"{" + STAMP + b',"message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body: bytes) -> bytes:
    """An answer in one piece."""
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def stream() -> bytes:
    """The same answer as a stream of two pieces, as Ollama sends it."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in PIECES)
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"0\r\n\r\n"
    )


ANSWERS = {
    b"/api/version": whole(b'{"version":"0.33.0"}'),
    b"/api/tags": whole(b'{"models":[{"name":"m:1b","model":"m:1b","digest":"d","capabilities":["completion"]}]}'),
    b"/api/ps": whole(b'{"models":[{"name":"m:1b","model":"m:1b","digest":"d","context_length":4096}]}'),
}
ONE, ONE_GENERATE, TWO, LOAD = whole(WHOLE), whole(WHOLE_GENERATE), stream(), whole(LOADED)


class Instant(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request that has arrived."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.transport.write(self.answer(head.split(b" ", 2)[1], body))

    def answer(self, path: bytes, body: bytes) -> bytes:
        """Listings, a load for an empty chat, else the one answer."""
        if path in ANSWERS:
            return ANSWERS[path]
        if b'"messages":[]' in body:
            return LOAD
        if b'"stream":false' in body or b'"stream": false' in body:
            return ONE if path == b"/api/chat" else ONE_GENERATE
        return TWO


async def main(port_file: Path) -> None:
    """Serve on a free port until standard input closes."""
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0, backlog=4096)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[1])))
