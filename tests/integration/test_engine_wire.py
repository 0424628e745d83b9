"""What the engine sends, where, how often; and what it costs when a server sends too much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import pytest
from fake_ollama import INSTANT, FakeOllama, Fault, answer
from flying import SESSION, attempt, events_until, failure, looped, outcome, outcomes, text
from scripted import close, read_request
from socket_world import HttpEngine
from spoken import TEXT, Talk, chunked, good, sized

from arriero.backends.wire import Backend
from arriero.core.outcome import FailureKind
from arriero.core.request import Content
from arriero.engines.address import Address

pytestmark = pytest.mark.timeout(20)


class Recorder:
    """A bare server: keeps every request as bytes and answers each with the next of its replies, then hangs up."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.requests: list[bytes] = []
        self.connections = 0
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(h[16:]) for h in head.split(b"\r\n") if h.startswith(b"Content-Length: ")), 0)
                self.requests.append(head + await reader.readexactly(length))
                if not self.replies:
                    break
                writer.write(self.replies.pop(0))
        except asyncio.IncompleteReadError:
            pass
        finally:
            await close(writer)
            self.serving.discard(task)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if self.serving:
            await asyncio.wait(self.serving)


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


ANSWER = b'{"model":"mistral:7b","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":"stop"}\n'


def engine_for(url: str, dialects: dict[str, Backend], engine_class: type[HttpEngine], **address: object) -> HttpEngine:
    return engine_class({"fake": Address(url, **address)}, dialects, SESSION)  # type: ignore[arg-type]


@looped
async def test_every_attempt_carries_its_mark_the_version_and_the_headers_of_its_instance(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder(reply(ANSWER))
    key = {"Authorization": "Bearer s3cret"}
    async with recorder.listening() as url, engine_for(url + "/behind/", dialects, engine_class, headers=key) as engine:
        assert text(await outcome(engine, attempt(7))) == "hi"
    head = recorder.requests[0].partition(b"\r\n\r\n")[0].decode()
    first, *headers = head.split("\r\n")
    assert first == "POST /behind/api/chat HTTP/1.1"
    assert f"X-Arriero-Attempt: {SESSION}-7" in headers
    assert f"User-Agent: arriero/{version('arriero')}" in headers
    assert "Authorization: Bearer s3cret" in headers
    assert "Accept-Encoding: identity" in headers
    assert "Content-Type: application/json" in headers


@looped
async def test_user_and_password_of_a_url_become_basic_authentication(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder(reply(ANSWER))
    async with recorder.listening() as url, engine_for(url.replace("//", "//me:pw@"), dialects, engine_class) as engine:
        assert text(await outcome(engine, attempt(1))) == "hi"
    assert b"Authorization: Basic bWU6cHc=" in recorder.requests[0]


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@looped
async def test_no_redirect_is_followed_and_the_prompt_reaches_no_second_server(
    status: str, stream: bool, dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    elsewhere = Recorder(reply(ANSWER))
    async with elsewhere.listening() as other:
        recorder = Recorder(reply(b"", status, f"Location: {other}/elsewhere"))
        async with recorder.listening() as url, engine_for(url, dialects, engine_class) as engine:
            end = failure(await outcome(engine, attempt(1, backend=dialect, stream=stream)))
    assert end.kind is FailureKind.REDIRECTED
    assert len(recorder.requests) == 1
    assert elsewhere.connections == 0


@looped
async def test_a_post_that_meets_a_closing_connection_is_never_sent_a_second_time(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder(reply(ANSWER))  # the second request on the kept connection gets a hang-up
    async with recorder.listening() as url, engine_for(url, dialects, engine_class) as engine:
        assert text(await outcome(engine, attempt(1))) == "hi"
        end = failure(await outcome(engine, attempt(2)))
    assert end.kind is FailureKind.UNREACHABLE
    assert recorder.connections == 1
    assert len(recorder.requests) == 2


@looped
async def test_a_connection_that_lay_idle_for_as_long_as_servers_keep_one_is_not_used_again(
    dialects: dict[str, Backend], engine_class: type[HttpEngine], monkeypatch: pytest.MonkeyPatch
):
    async with FakeOllama(1, speed=INSTANT) as fake, engine_for(fake.url, dialects, engine_class) as engine:
        for n, idle_s in enumerate((0.0, 1.0, 5.9)):  # the last after 4.9 s; uvicorn hangs up after 5
            for clock in ("aiohttp.connector.monotonic", "arriero.engines.blocking.monotonic"):
                monkeypatch.setattr(clock, lambda idle_s=idle_s: time.monotonic() + idle_s)
            await outcome(engine, attempt(n))
        assert fake.accepted == 2


def streamed(*, in_pieces: bool) -> bytes:
    """A whole answer of the OpenAI dialect, with its length or in chunks."""
    talk = Talk("openai", stream=True)
    return chunked(talk.pieces(), talk.type) if in_pieces else sized(talk.body(), talk.type)


@pytest.mark.parametrize("in_pieces", [True, False], ids=["in-pieces", "with-its-length"])
@looped
async def test_a_streamed_openai_answer_has_a_connection_of_its_own_though_the_server_would_keep_it(
    in_pieces: bool, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder(*[streamed(in_pieces=in_pieces)] * 3)  # it never hangs up, whatever it is asked for
    async with recorder.listening() as url, engine_for(url, dialects, engine_class) as engine:
        for n in range(3):
            assert text(await outcome(engine, attempt(n, backend="openai"))) == TEXT
        assert recorder.connections == 3, "a server that is asked to close may do so at any moment"
    assert all(b"\r\nConnection: close\r\n" in request for request in recorder.requests)


@looped
async def test_connections_are_kept_and_a_cancelled_attempt_closes_its_own(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with (
        FakeOllama(4, speed=INSTANT, faults=[Fault("hang", contains="hang")]) as fake,
        engine_for(fake.url, dialects, engine_class) as engine,
    ):
        for n in range(5):
            await outcome(engine, attempt(n))
        assert fake.accepted == 1
        engine.start(attempt(5, prompt="hang"))
        await fake.until(lambda fake: fake.in_flight == 1)
        engine.cancel(5)
        await events_until(engine, 1)
        await fake.until(lambda fake: fake.in_flight == 0)
        assert fake.log.entries[-1].how == "failed"
        assert text(await outcome(engine, attempt(6))) == answer("prompt 6")
        assert fake.accepted == 2


@looped
async def test_the_server_sees_a_cancelled_attempt_as_disconnected(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with FakeOllama(1) as fake, engine_for(fake.url, dialects, engine_class) as engine:
        engine.start(attempt(1))
        await fake.until(lambda fake: fake.in_flight == 1)
        engine.cancel(1)
        await events_until(engine, 1)
        await fake.until(lambda fake: fake.in_flight == 0)
        assert [entry.how for entry in fake.log.requests()] == ["disconnected"]


@looped
async def test_bytes_after_an_answer_cost_the_connection_not_the_next_answer(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder(reply(ANSWER) + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", reply(ANSWER))
    async with recorder.listening() as url, engine_for(url, dialects, engine_class) as engine:
        assert text(await outcome(engine, attempt(1))) == "hi"
        assert text(await outcome(engine, attempt(2))) == "hi"
    assert recorder.connections == 2


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@looped
async def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(
    dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    talk = Talk(dialect, stream=False)
    idle, said, closed, carried = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(0), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await read_request(reader)
                carried.append(writer)
                writer.write(good(talk))
                if len(carried) == 1:
                    await idle.wait()
                    writer.write(sized(talk.body(("another's answer",)), talk.type))
                    said.set()
        await close(writer)
        closed.release()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, engine_for(url, dialects, engine_class) as engine:
        sent = {"backend": dialect, "stream": False}
        assert text(await outcome(engine, attempt(1, **sent))) == TEXT
        idle.set()
        await said.wait()
        for _ in range(3):  # turns of the loop, in which what lies in the socket is read
            await asyncio.sleep(0)
        assert text(await outcome(engine, attempt(2, **sent))) == TEXT
        assert len(carried) == len(set(map(id, carried))) == 2
    for _ in carried:
        await closed.acquire()


@looped
async def test_proxy_variables_do_not_swallow_calls_to_own_machines(
    dialects: dict[str, Backend], engine_class: type[HttpEngine], monkeypatch: pytest.MonkeyPatch
):
    proxy = Recorder()
    async with proxy.listening() as proxy_url:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy_url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with FakeOllama(speed=INSTANT) as fake:
            by_name = fake.url.replace("127.0.0.1", "localhost")
            for url in (fake.url, by_name):
                async with engine_for(url, dialects, engine_class) as engine:
                    assert text(await outcome(engine, attempt(1))) == answer("prompt 1")
    assert proxy.connections == 0


@looped
async def test_a_public_instance_is_reached_through_the_proxy(
    dialects: dict[str, Backend], engine_class: type[HttpEngine], monkeypatch: pytest.MonkeyPatch
):
    proxy = Recorder(reply(ANSWER))
    async with proxy.listening() as proxy_url:
        monkeypatch.setenv("http_proxy", proxy_url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with engine_for("http://8.8.8.8:11434", dialects, engine_class) as engine:
            assert text(await outcome(engine, attempt(1))) == "hi"
    assert proxy.requests[0].startswith(b"POST http://8.8.8.8:11434/api/chat HTTP/1.1")


@looped
async def test_an_instance_that_joins_later_and_one_that_moves_are_reached(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    book: dict[str, Address] = {}
    async with (
        FakeOllama(speed=INSTANT) as first,
        FakeOllama(speed=INSTANT) as second,
        engine_class(book, dialects, SESSION) as engine,
    ):
        assert failure(await outcome(engine, attempt(1))).kind is FailureKind.UNREACHABLE
        book["fake"] = Address(first.url)
        assert text(await outcome(engine, attempt(2))) == answer("prompt 2")
        book["fake"] = Address(second.url)
        assert text(await outcome(engine, attempt(3))) == answer("prompt 3")
        assert [len(first.log.entries), len(second.log.entries)] == [1, 1]


@looped
async def test_a_dialect_that_fails_on_a_reply_costs_that_attempt_and_no_other(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    class Faulty:
        name = "faulty"
        call = staticmethod(dialects["ollama"].call)
        began = staticmethod(dialects["ollama"].began)

        @staticmethod
        def outcome(*_: object) -> object:
            raise LookupError("a secret of the reply")

    async with FakeOllama(speed=INSTANT) as fake:
        book = {"fake": Address(fake.url)}
        async with engine_class(book, {**dialects, "faulty": Faulty()}, SESSION) as engine:  # type: ignore[dict-item]
            ends = await outcomes(engine, [attempt(1, backend="faulty"), attempt(2)])
    broken = failure(ends[1])
    assert broken.kind is FailureKind.BAD_REPLY
    assert "LookupError in test_engine_wire.py:" in broken.detail
    assert "secret" not in broken.detail
    assert text(ends[2]) == answer("prompt 2")


@looped
async def test_what_the_dialect_cannot_say_ends_as_unsupported_and_is_not_sent(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    recorder = Recorder()
    async with recorder.listening() as url, engine_for(url, dialects, engine_class) as engine:
        nowhere = attempt(1, content=Content(prompt="x", endpoint="/api/nowhere"))
        assert failure(await outcome(engine, nowhere)).kind is FailureKind.UNSUPPORTED
        assert recorder.connections == 0
