"""Http: makes one HTTP exchange for a flight, on the event loop."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.tracing import Trace
from yarl import URL

from arriero.engines.address import Address, proxy_for
from arriero.engines.failures import broken_by
from arriero.engines.flight import BODY_BYTES, Flight
from arriero.engines.target import KEEP_ALIVE_S, Target, agent
from arriero.engines.words import CONNECT_S

LARGE_BYTES = 1024 * 1024
"""A body above this goes out in pieces, so that the loop is not held up."""


class Kept(aiohttp.TCPConnector):
    """Keeps connections; one on which a server has spoken unasked while nothing ran there is closed, not used again.

    Its words would be taken for the answer to whatever is sent there next.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._used: WeakSet[object] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # as aiohttp calls it
    ) -> aiohttp.connector.Connection:
        """A connection on which nothing lies that answers an earlier request."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or protocol not in self._used or not protocol.should_close:
                break
            connection.close()
        self._used.add(protocol)
        return connection


class Http:
    """A pool of connections and the rules every exchange obeys.

    No redirect is followed, no cookie kept, no body unpacked; certificates are verified; a POST is sent once
    (aiohttp sends again only what is idempotent, after a kept-alive connection turned out to be closed).

    Args:
        session: Name of the process run, first half of every attempt's mark.
        clock: Engine seconds.
        on_progress: Told after the first piece of a body: the flight's ``due`` may be nearer now.
        on_began: Told when ``Backend.began`` says yes.
        time_scale: Engine seconds in a real second.
    """

    def __init__(
        self,
        session: str,
        clock: Callable[[], float],
        on_progress: Callable[[Flight], None],
        on_began: Callable[[Flight, float], None],
        time_scale: float = 1.0,
    ) -> None:
        self._name = session
        self._clock = clock
        self._on_progress = on_progress
        self._on_began = on_began
        self._scale = time_scale
        self._agent = ""
        self._targets: dict[str, Target] = {}
        self._kept: aiohttp.ClientSession | None = None
        self._once: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pools; they have no bound of their own, the scheduler holds the limits.

        A connection that is to be used once needs a connector that keeps none: another one takes it back as soon as
        the end of a body is read, before whoever awaits the body can close it.
        """
        self._agent = agent()
        self._kept = self._session(Kept(limit=0, keepalive_timeout=KEEP_ALIVE_S))
        self._once = self._session(aiohttp.TCPConnector(limit=0, force_close=True))

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=max(1.0, CONNECT_S / self._scale)),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BODY_BYTES // 2,  # twice this is where aiohttp stops reading: no answer comes so far
        )

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._kept, self._once):
            if session is not None:
                await session.close()

    async def exchange(self, flight: Flight, address: Address) -> None:
        """Send the flight's call and gather what comes back; whatever goes wrong is noted in ``flight.broken``."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # coroutines run in tasks
        flight.enter(task.cancel)
        try:
            await self._send(flight, address)
        except asyncio.CancelledError:
            if flight.broken is None:  # not by Flight.stop: the loop is being torn down
                raise
        except Exception as error:  # noqa: BLE001  # the one place where foreign exceptions become data
            if flight.broken is None:
                flight.broken = broken_by(error)
        finally:
            flight.leave()

    async def _send(self, flight: Flight, address: Address) -> None:
        attempt, call = flight.attempt, flight.call
        target = self._targets.get(attempt.instance)
        if target is None or target.address is not address:
            target = self._targets[attempt.instance] = Target(
                address, await asyncio.to_thread(proxy_for, URL(address.url)), self._agent
            )
        body = call.body
        once = call.own_connection and not target.secure  # a TLS connection is too dear for that
        session = self._once if once else self._kept
        if session is None:
            raise RuntimeError("the engine is not open")
        response = await session.request(
            call.method,
            target.url(call.path),
            data=body if body is None or len(body) <= LARGE_BYTES else io.BytesIO(body),
            headers=target.headers(f"{self._name}-{attempt.id}", once=once),
            allow_redirects=False,
            ssl=target.tls,
            proxy=target.proxy,
        )
        try:
            await self._receive(flight, response)
        finally:
            response.close()  # no-op once the body was read to its end: that connection is kept

    async def _receive(self, flight: Flight, response: aiohttp.ClientResponse) -> None:
        if flight.answered(response.status, response.headers):
            await self._read(flight, response.content, wait_for_first=flight.told_first)

    async def _read(self, flight: Flight, content: aiohttp.StreamReader, *, wait_for_first: bool) -> None:
        """Gather pieces until the first token came, then wait for the end.

        Whoever awaits each piece of a stream is woken for every token, which is half of what a token costs
        (``bench/token_cost.py``).
        """
        began = flight.backend.began
        first = True
        while piece := await content.readany():
            now = self._clock()
            flight.take(piece, now)
            if first:
                first = False
                self._on_progress(flight)
            if wait_for_first and began(piece):
                wait_for_first = False
                flight.ttft_s = now - flight.started
                self._on_began(flight, now)
            if not wait_for_first:
                await self._rest(flight, content)
                return

    async def _rest(self, flight: Flight, content: aiohttp.StreamReader) -> None:
        """Let the rest of a body gather in the connection's buffer, and take it at its end."""
        if (broken := content.exception()) is not None:
            raise broken
        flight.follow(content)
        await content.wait_eof()
        flight.take_rest(content.read_nowait(), self._clock())
