"""What the engine does at the limits: too much, too large, nothing there, nothing left."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_ollama import INSTANT, FakeOllama, Fault, answer
from flying import SESSION, attempt, ended, events_until, failure, looped, outcome, text
from socket_world import HttpEngine

from arriero.backends.wire import Backend
from arriero.core.outcome import FailureKind
from arriero.core.request import Timeouts
from arriero.engines.address import Address

pytestmark = pytest.mark.timeout(20)


def engine_for(url: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]) -> HttpEngine:
    return engine_class({"fake": Address(url)}, dialects, SESSION)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


SOCKETS_BYTES = 64 * 2**20
"""What the two sockets of a connection hold at most; Linux lets each grow to 32 MB."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux' /proc")
@looped
async def test_endless_answers_end_at_64_mb_and_memory_stays_flat(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with (
        FakeOllama(speed=INSTANT, faults=[Fault("endless")]) as fake,
        engine_for(fake.url, dialects, engine_class) as engine,
    ):
        before = resident_bytes()
        for n in range(4):
            end = failure(await outcome(engine, attempt(n)))
            assert (end.kind, "64 MB" in end.detail) == (FailureKind.BAD_REPLY, True)
            await fake.until(lambda fake: fake.in_flight == 0)
            sent = fake.log.entries[n].n_bytes
            assert 64 * 2**20 < sent < 64 * 2**20 + SOCKETS_BYTES
        assert resident_bytes() - before < 100 * 2**20  # one answer's worth, not four


@looped
async def test_a_packed_answer_is_refused_before_it_is_unpacked(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with (
        FakeOllama(speed=INSTANT, faults=[Fault("gzip_bomb")]) as fake,
        engine_for(fake.url, dialects, engine_class) as engine,
    ):
        end = failure(await outcome(engine, attempt(1)))
        assert "packed" in end.detail
        assert resident_bytes() < 400 * 2**20


@looped
async def test_a_prompt_of_several_megabytes_arrives_whole(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    long = "lama " * 700_000
    async with (
        FakeOllama(speed=INSTANT, context=2_000_000) as fake,
        engine_for(fake.url, dialects, engine_class) as engine,
    ):
        assert text(await outcome(engine, attempt(1, prompt=long))) == answer(long)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{port}", "connection refused"),
        ("http://nowhere.invalid:11434", "does not resolve"),
        ("ftp://127.0.0.1", "no HTTP URL"),
        ("http://", "no URL"),
    ],
)
@looped
async def test_what_cannot_be_reached_is_unreachable_and_was_not_sent(
    url: str, words: str, dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with engine_for(url.format(port=closed_port()), dialects, engine_class) as engine:
        end = failure(await outcome(engine, attempt(1, backend=dialect)))
        assert end.kind is FailureKind.UNREACHABLE
        assert words in end.detail


@contextmanager
def descriptors_left(n: int) -> Iterator[None]:
    """Let this process open no more than n further file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    plugs = []
    try:
        with suppress(OSError):
            while True:
                plugs.append(os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + n, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for plug in plugs:
            os.close(plug)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads Linux' /proc")
@looped
async def test_running_out_of_file_descriptors_is_said_and_survived(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    with socket.socket() as listener:  # accepts in its backlog, answers nothing, needs no descriptor for it
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        deaf = Address(f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with (
            FakeOllama(speed=INSTANT) as fake,
            engine_class({"deaf": deaf, "fake": Address(fake.url)}, dialects, SESSION) as engine,
        ):
            await outcome(engine, attempt(0))
            with descriptors_left(4):
                for n in range(1, 21):
                    engine.start(attempt(n, instance="deaf"))
                refused = ended(await events_until(engine, 16))
            assert {failure(end).detail for end in refused.values()} == {"out of file descriptors (see ulimit -n)"}
            for n in range(1, 21):
                engine.cancel(n)
            await events_until(engine, 4)
            assert text(await outcome(engine, attempt(30))) == answer("prompt 30")


@looped
async def test_a_connection_that_is_never_made_ends_by_the_connect_timeout(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # a full backlog: the kernel answers no further SYN
            filler.setblocking(False)  # noqa: FBT003
            filler.connect_ex(("127.0.0.1", port))
        async with engine_class(
            {"fake": Address(f"http://127.0.0.1:{port}")}, dialects, SESSION, time_scale=10.0
        ) as engine:
            end = failure(await outcome(engine, attempt(1, timeouts=Timeouts(600.0, 600.0, 600.0))))
        for filler in fillers:
            filler.close()
    assert (end.kind, end.detail) == (FailureKind.UNREACHABLE, "no connection within 10 s")
