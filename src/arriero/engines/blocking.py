"""BlockingHttp: makes one HTTP exchange for a flight with blocking calls, in the flight's own thread."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from time import monotonic

from urllib3.exceptions import LocationValueError, URLSchemeUnknown
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url
from yarl import URL

from arriero.engines.address import Address, proxy_for
from arriero.engines.blocking_failures import broken_by
from arriero.engines.flight import Flight
from arriero.engines.line import Line
from arriero.engines.strict import Connection, Plain, Secure, require_one_length
from arriero.engines.target import KEEP_ALIVE_S, Target, agent, authorization
from arriero.engines.words import CONNECT_S

PIECE_BYTES = 16 * 1024
"""Read at once at most: a chunk above this is given in parts, so that a slow one is seen to come."""

IDLE_MOST = 128
"""Connections kept for one instance while nothing runs on them."""


class Host:
    """An instance's target, and its connections that lie idle.

    Args:
        target: Where it answers.
        connect_s: For connection and TLS handshake, each.
    """

    def __init__(self, target: Target, connect_s: float) -> None:
        self.target = target
        self._connect_s = connect_s
        self._tls = _context(target)
        self._idle: list[tuple[Connection, float]] = []

    def connection(self, *, once: bool) -> Connection:
        """A connection that stands: one that was kept, or a new one.

        One that lay idle for long, or on which the server has spoken unasked or hung up, is closed, not used again: its
        words would be taken for the answer to whatever is sent there next. Lists are changed by single calls, so that
        threads need no lock.
        """
        while not once and self._idle:
            with suppress(IndexError):  # another thread took the last one
                connection, since = self._idle.pop()
                if monotonic() - since < KEEP_ALIVE_S and connection.is_connected:
                    return connection
                connection.close()
        connection = self._new()
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next exchange."""
        if len(self._idle) < IDLE_MOST:
            self._idle.append((connection, monotonic()))
        else:
            connection.close()

    def close(self) -> None:
        """Close all that lie idle."""
        while self._idle:
            self._idle.pop()[0].close()

    def _new(self) -> Connection:
        url, proxy = self.target.url(""), self.target.proxy
        if url.scheme not in ("http", "https"):
            raise URLSchemeUnknown(url.scheme)
        if not url.host:
            raise LocationValueError
        host, port = url.host, url.port
        if self._tls is None:
            at = proxy or url
            return Plain(at.host or "", at.port, timeout=self._connect_s)
        if proxy is None:
            return Secure(host, port, timeout=self._connect_s, ssl_context=self._tls)
        connection = Secure(
            proxy.host or "", proxy.port, timeout=self._connect_s, ssl_context=self._tls, proxy=parse_url(str(proxy))
        )
        connection.set_tunnel(host, port, authorization(proxy, "Proxy-Authorization"), scheme="http")
        return connection


class BlockingHttp:
    """Connections of all instances, and the same rules for every exchange as ``Http`` has.

    urllib3's connections follow no redirect and send a request once.

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
        self._connect_s = max(1.0, CONNECT_S / time_scale)
        self._agent = agent()
        self._hosts: dict[str, Host] = {}
        self._making = threading.Lock()

    def close(self) -> None:
        """Close every connection that lies idle."""
        for host in self._hosts.values():
            host.close()

    def exchange(self, flight: Flight, address: Address, line: Line) -> None:
        """Send the flight's call and gather what comes back; whatever goes wrong is noted in ``flight.broken``."""
        try:
            host = self._host(flight.attempt.instance, address)
            once = flight.call.own_connection and not host.target.secure  # a TLS connection is too dear for that
            with line.held(host.connection(once=once)) as connection:
                self._send(flight, host.target, connection, once=once)
                if line.over(whole=self._received(flight, connection) and not once):
                    host.keep(connection)
        except Exception as error:  # noqa: BLE001  # the one place where foreign exceptions become data
            if flight.broken is None:
                flight.broken = broken_by(error, sent=line.sent)

    def _host(self, instance: str, address: Address) -> Host:
        host = self._hosts.get(instance)
        if host is None or host.target.address is not address:
            made = Host(Target(address, proxy_for(URL(address.url)), self._agent), self._connect_s)
            with self._making:
                host = self._hosts.get(instance)
                if host is None or host.target.address is not address:  # no other thread was quicker
                    if host is not None:
                        host.close()
                    host = self._hosts[instance] = made
        return host

    def _send(self, flight: Flight, target: Target, connection: Connection, *, once: bool) -> None:
        call = flight.call
        url = target.url(call.path)
        headers = dict(target.headers(f"{self._name}-{flight.attempt.id}", once=once))
        through = target.proxy is not None and not target.secure
        if through and target.proxy is not None:
            headers |= authorization(target.proxy, "Proxy-Authorization")
        with suppress(BrokenPipeError):  # it answered before it had read all
            connection.request(
                call.method,
                str(url) if through else url.raw_path_qs,
                body=call.body,
                headers=headers,
                preload_content=False,
                decode_content=False,
            )

    def _received(self, flight: Flight, connection: Connection) -> bool:
        """Take the answer in; whether it was read to its end, so that the connection can be used again."""
        with closing(connection.getresponse()) as response:
            require_one_length(response.headers)
            if not flight.answered(response.status, response.headers):
                return False
            self._read(flight, response)
        return flight.broken is None and connection.quiet

    def _read(self, flight: Flight, response: BaseHTTPResponse) -> None:
        wait_for_first = flight.told_first
        for number, piece in enumerate(_pieces(response)):
            now = self._clock()
            flight.take(piece, now)
            if number == 0:
                self._on_progress(flight)
            if wait_for_first and flight.backend.began(piece):
                wait_for_first = False
                flight.ttft_s = now - flight.started
                self._on_began(flight, now)


def _pieces(response: BaseHTTPResponse) -> Iterator[bytes]:
    """A body as it comes."""
    if response.chunked:
        yield from response.read_chunked(PIECE_BYTES, decode_content=False)
    else:
        while piece := response.read1(PIECE_BYTES, decode_content=False):
            yield piece


def _context(target: Target) -> ssl.SSLContext | None:
    """How to verify the server; None where it speaks no TLS."""
    if not target.secure:
        return None
    if isinstance(target.tls, ssl.SSLContext):
        return target.tls
    context = ssl.create_default_context()
    if not target.tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
