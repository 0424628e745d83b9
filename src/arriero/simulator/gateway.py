"""Gateway: one simulated address that hides several servers and deals to them in turn."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import CHAT, GENERATE
from arriero.simulator.exchange import Exchange
from arriero.simulator.server import Server
from arriero.simulator.spec import ServerSpec


class Gateway:
    """Lists nothing, tells no timings, answers errors with 200 and deals in turn (as OLOL does).

    Args:
        spec: What it is.
        hidden: Servers behind it.
    """

    def __init__(self, spec: ServerSpec, hidden: Sequence[Server]) -> None:
        self.spec = spec
        self.hidden = tuple(hidden)
        self._turn = 0
        self._dealt: dict[Exchange, Server] = {}

    @property
    def holds(self) -> int:
        """Exchanges that are behind it."""
        return sum(server.holds for server in self.hidden)

    def receive(self, exchange: Exchange) -> None:
        """A request has arrived: deal it, or say that there is no such path."""
        attempt = exchange.attempt
        if attempt.purpose == "discover":
            exchange.end(Failure(kind=FailureKind.REJECTED, status=404))
            return
        exchange.masked = True
        own = CHAT if attempt.request is None else attempt.request.content.endpoint
        if self.spec.generate_only and (attempt.endpoint or own) != GENERATE:
            exchange.end(Failure(kind=FailureKind.UNSUPPORTED, status=404))
            return
        server = self.hidden[self._turn % len(self.hidden)]
        self._turn += 1
        self._dealt[exchange] = server
        server.receive(exchange)

    def hang_up(self, exchange: Exchange) -> None:
        """The client has gone; the server behind is told."""
        exchange.gone = True
        server = self._dealt.get(exchange)
        if server is not None:
            server.hang_up(exchange)
