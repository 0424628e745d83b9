"""Memory of the engine under replies without an end, in parts that are no body: it does not grow with what is sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flying import SESSION, attempt, failure, looped, outcome
from scripted import Act, Scripted, Step
from socket_world import HttpEngine
from spoken import head

from arriero.backends.wire import Backend
from arriero.engines.address import Address

pytestmark = [
    pytest.mark.timeout(30),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the most memory is read from Linux' /proc"),
]

MB = 1 << 20
MOST_BYTES = 24 * MB
"""What an attempt may cost; a tenth and less of what these replies would take if they were kept."""


def peak_bytes() -> int:
    """The most memory that this process had since ``forget_peak``."""
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(peak) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""One costs 1 kB once it is parsed, and 6 us or more."""

CHUNKS = "Transfer-Encoding: chunked"
ENDLESS = {
    "100-continue": (b"", CONTINUE),
    "chunk-extension": (head("application/json", CHUNKS) + b"5;", b"x" * 64),
    "chunk-size": (head("application/json", CHUNKS), b"0" * 64),
    "trailers": (head("application/json", CHUNKS) + b"0\r\n", b"X-Small: x\r\n"),
    "header": (b"HTTP/1.1 200 OK\r\nX-Big: ", b"x" * 64),
    "blank-lines": (b"", b"\r\n"),
}


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize("what", ENDLESS)
@looped
async def test_what_has_no_end_and_is_no_body_costs_one_attempt_and_little_memory(
    what: str, dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    begin, part = ENDLESS[what]
    blocks = [part * (MB // 16 // len(part))] * (64 if part is CONTINUE else 16 * 64)
    script: list[Step] = [begin, *blocks, Act.CLOSE]
    server = Scripted(script)
    async with (
        server.listening() as url,
        engine_class({"fake": Address(url)}, dialects, SESSION) as engine,
    ):
        forget_peak()
        before = peak_bytes()
        failure(await outcome(engine, attempt(1, backend=dialect, stream=True)))
        grown = peak_bytes() - before
    assert grown < MOST_BYTES, f"{grown / MB:.0f} MB for {server.n_written / MB:.0f} MB sent"
