"""Engine: carries attempts out in virtual time; nothing in it ever suspends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from typing import Protocol

import msgspec
from msgspec import structs

from arriero.core.events import AttemptBegan, AttemptEnded, Event, InstanceLeft
from arriero.core.outcome import Failure, FailureKind, Observation, Outcome, Success
from arriero.core.request import Attempt, AttemptId
from arriero.simulator.exchange import STEP, Exchange
from arriero.simulator.spec import ServerSpec, Truths
from arriero.simulator.timeline import Alarm, StandstillError, Timeline


class Host(Protocol):
    """What answers at an address: a server or a gateway."""

    spec: ServerSpec

    def receive(self, exchange: Exchange) -> None:
        """A request has arrived."""
        ...

    def hang_up(self, exchange: Exchange) -> None:
        """Its client has gone."""
        ...


class Chaos(msgspec.Struct, frozen=True, gc=False):
    """What the way between us and the servers does.

    Attributes:
        race_share: Share of cancels that come too late: the attempt goes on to its own end.
        twice_share: Share of ends that are told a second time, some seconds later.
        late: First tokens are never told (an engine that knows only ends).
    """

    race_share: float = 0.0
    twice_share: float = 0.0
    late: bool = False


class _Flight:
    """One attempt in the air: its exchange, its times, its deadlines."""

    __slots__ = ("deadlines", "exchange", "first_at", "host", "sent_at")

    def __init__(self, exchange: Exchange, host: Host | None, sent_at: float) -> None:
        self.exchange = exchange
        self.host = host
        self.sent_at = sent_at
        self.first_at: float | None = None
        self.deadlines: dict[str, Alarm] = {}


class SimulatedEngine:
    """The engine of the simulator; ``drive`` over it runs to its end in one step of the coroutine.

    Args:
        timeline: Virtual time; shared by all engines of a world.
        hosts: What answers, by instance.
        truths: What each request costs.
        random: Chance of ``chaos``.
        chaos: What goes wrong on the way.

    Attributes:
        slept_s: Seconds that we were suspended in all.
    """

    def __init__(
        self,
        timeline: Timeline,
        hosts: Mapping[str, Host],
        truths: Truths,
        random: Random,
        chaos: Chaos = Chaos(),  # noqa: B008 - it is frozen
    ) -> None:
        self.slept_s = 0.0
        self._timeline = timeline
        self._hosts = hosts
        self._truths = truths
        self._random = random
        self._chaos = chaos
        self._flights: dict[AttemptId, _Flight] = {}
        self._events: list[Event] = []
        self._closed = False

    def now(self) -> float:
        """Virtual seconds."""
        return self._timeline.now

    def start(self, attempt: Attempt) -> None:
        """Send an attempt."""
        now, request = self._timeline.now, attempt.request
        truth = STEP if request is None else self._truths[request.batch, request.position]
        host = self._hosts.get(attempt.instance)
        flight = _Flight(Exchange(attempt, truth, self), host, now)
        self._flights[attempt.id] = flight
        if self._closed:
            self._end(flight, Failure(kind=FailureKind.CANCELLED, detail="the engine was closed"))
            return
        if host is None:
            self._end(flight, Failure(kind=FailureKind.UNREACHABLE, detail="no instance of this name"))
            return
        self._timeline.at(now + host.spec.rtt_s / 2, lambda: host.receive(flight.exchange))
        self._set(flight, "first byte", attempt.timeouts.first_byte_s)
        self._set(flight, "total", attempt.timeouts.total_s)

    def cancel(self, attempt: AttemptId) -> None:
        """Hang up; some hang-ups come too late and change nothing."""
        flight = self._flights.get(attempt)
        if flight is None or (self._chaos.race_share and self._random.random() < self._chaos.race_share):
            return
        self._hang_up(flight)
        self._end(flight, Failure(kind=FailureKind.CANCELLED, detail="cancelled"))

    def post(self, event: Event) -> None:
        """Hand an event in from outside; what runs on an instance that left is lost."""
        self._events.append(event)
        if isinstance(event, InstanceLeft):
            for flight in tuple(self._flights.values()):
                if flight.exchange.attempt.instance == event.name:
                    self._hang_up(flight)
                    self._end(flight, Failure(kind=FailureKind.LOST, detail="the instance left the fleet"))

    async def wait(self, until: float) -> Sequence[Event]:
        """Let time pass until something happens to us, at most until a time.

        Raises:
            StandstillError: If nothing will ever happen and ``until`` is ``inf``.
        """
        timeline = self._timeline
        while not self._events and timeline.next_at() <= until:
            if timeline.next_at() == inf:
                raise StandstillError("the scheduler waits for ever")
            timeline.step()
        if not self._events:
            timeline.go_to(until)
        events, self._events = self._events, []
        return events

    async def aclose(self) -> None:
        """Hang up on everything; ``wait`` tells the ends."""
        self._closed = True
        for flight in tuple(self._flights.values()):
            self._hang_up(flight)
            self._end(flight, Failure(kind=FailureKind.CANCELLED, detail="the engine was closed"))

    def sleep(self, gap_s: float) -> None:
        """We are suspended: servers go on, their answers are kept for us, our own deadlines stand still."""
        for flight in self._flights.values():
            for name, alarm in tuple(flight.deadlines.items()):
                if alarm.call is not None:
                    call = alarm.call
                    alarm.off()
                    flight.deadlines[name] = self._timeline.at(alarm.at + gap_s, call)
        self.slept_s += gap_s
        self._timeline.go_to(self._timeline.now + gap_s)

    def vanish(self) -> None:
        """The process dies: every connection is closed, nothing more is told."""
        for flight in tuple(self._flights.values()):
            self._hang_up(flight)
            self._forget(flight)
        self._events.clear()

    # What servers send.

    def began(self, exchange: Exchange) -> None:
        """A first token is on its way to us."""
        flight = self._flights.get(exchange.attempt.id)
        if flight is not None and flight.host is not None:
            self._timeline.at(self._timeline.now + flight.host.spec.rtt_s / 2, lambda: self._first(flight))

    def ended(self, exchange: Exchange, outcome: Outcome) -> None:
        """A last byte is on its way to us."""
        flight = self._flights.get(exchange.attempt.id)
        if flight is not None and flight.host is not None:
            self._timeline.at(self._timeline.now + flight.host.spec.rtt_s / 2, lambda: self._end(flight, outcome))

    def silent(self, exchange: Exchange, *, silent: bool) -> None:
        """A stream stands still, or goes on; we notice when what was said before has come."""
        flight = self._flights.get(exchange.attempt.id)
        if flight is not None and flight.host is not None and exchange.attempt.stream:
            heard_at = self._timeline.now + flight.host.spec.rtt_s / 2
            self._timeline.at(heard_at, lambda: self._silent(flight, silent=silent))

    def _silent(self, flight: _Flight, *, silent: bool) -> None:
        if not silent and "idle" in flight.deadlines:
            flight.deadlines.pop("idle").off()
        elif silent and "idle" not in flight.deadlines and flight.exchange.attempt.id in self._flights:
            self._set(flight, "idle", flight.exchange.attempt.timeouts.idle_s)

    def _first(self, flight: _Flight) -> None:
        if flight.exchange.attempt.id not in self._flights or not flight.exchange.attempt.stream:
            return
        if "first byte" in flight.deadlines:
            flight.deadlines.pop("first byte").off()
        flight.first_at = self._timeline.now
        if not self._chaos.late:
            self._events.append(AttemptBegan(flight.exchange.attempt.id, self._timeline.now))

    def _set(self, flight: _Flight, name: str, bound_s: float) -> None:
        if bound_s < inf:
            due = self._timeline.now + bound_s
            flight.deadlines[name] = self._timeline.at(due, lambda: self._expire(flight, name))

    def _expire(self, flight: _Flight, name: str) -> None:
        self._hang_up(flight)
        self._end(flight, Failure(kind=FailureKind.TIMEOUT, detail=name))

    def _hang_up(self, flight: _Flight) -> None:
        """The server learns of it half a round trip later; nothing it says from now on is heard."""
        host, exchange = flight.host, flight.exchange
        if host is not None and not exchange.over:
            self._timeline.at(self._timeline.now + host.spec.rtt_s / 2, lambda: host.hang_up(exchange))

    def _forget(self, flight: _Flight) -> None:
        self._flights.pop(flight.exchange.attempt.id, None)
        for alarm in flight.deadlines.values():
            alarm.off()

    def _end(self, flight: _Flight, outcome: Outcome) -> None:
        """The one end of an attempt, and sometimes its echo."""
        attempt, now = flight.exchange.attempt, self._timeline.now
        if self._flights.get(attempt.id) is not flight:
            return
        self._forget(flight)
        event = AttemptEnded(attempt.id, now, _as_seen(flight, outcome, now))
        self._events.append(event)
        if self._chaos.twice_share and self._random.random() < self._chaos.twice_share:
            self._timeline.at(now + self._random.uniform(0.0, 5.0), lambda: self._events.append(event))


def _as_seen(flight: _Flight, outcome: Outcome, now: float) -> Outcome:
    """The outcome with the times that we saw ourselves."""
    latency_s = now - flight.sent_at
    if isinstance(outcome, Success):
        ttft_s = None if flight.first_at is None else flight.first_at - flight.sent_at
        return structs.replace(outcome, timing=structs.replace(outcome.timing, latency_s=latency_s, ttft_s=ttft_s))
    if isinstance(outcome, Failure):
        return structs.replace(outcome, latency_s=latency_s, began=flight.first_at is not None)
    if isinstance(outcome, Observation):
        return structs.replace(outcome, latency_s=latency_s)
    return outcome
