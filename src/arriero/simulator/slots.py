"""Slots: the places of one server; one prompt is read at a time, what has begun decodes side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from arriero.simulator.exchange import Exchange
from arriero.simulator.spec import ServerSpec
from arriero.simulator.timeline import Alarm, Timeline

LET_GO_S = 1.0
"""A cancelled prompt is read on for so long (Ollama 0.33, seen: 0.6 s of a 0.7 s prompt, 1.4 s of a 4.2 s one)."""

_CLOSE = 1e-9


class Slots:
    """Places as a fluid: work flows at a rate that changes only when somebody comes, goes or the server slows down.

    Args:
        spec: The server.
        timeline: Virtual time.
        first: Told of each first token.
        done: Told of each that leaves by itself; one that has gone leaves without an answer.
    """

    def __init__(
        self,
        spec: ServerSpec,
        timeline: Timeline,
        first: Callable[[Exchange], None],
        done: Callable[[Exchange], None],
    ) -> None:
        self.foreign = 0
        self._spec = spec
        self._timeline = timeline
        self._first = first
        self._done = done
        self._factor = 1.0
        self._held: dict[Exchange, bool] = {}  # whether it decodes
        self._reading: deque[Exchange] = deque()
        self._read_left_s = 0.0
        self._decoding = 0
        self._ends: list[tuple[float, int, Exchange]] = []
        self._serial = 0
        self._work = 0.0
        self._at = 0.0
        self._alarm: Alarm | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._held))

    def __contains__(self, exchange: Exchange) -> bool:
        return exchange in self._held

    @property
    def free(self) -> int:
        """Places that others and we have left."""
        return self._spec.slots - self.foreign - len(self._held)

    def take(self, exchange: Exchange) -> None:
        """Give it a place: its prompt is read as soon as those before it have been."""
        self._advance()
        self._held[exchange] = False
        self._reading.append(exchange)
        if len(self._reading) == 1:
            self._begin_reading()
        self._rearm()

    def leave(self, exchange: Exchange) -> None:
        """Its client has gone; a place in which a prompt is being read is not free at once."""
        self._advance()
        if self._reading and self._reading[0] is exchange:
            if not self._spec.old:
                self._read_left_s = min(self._read_left_s, LET_GO_S)
        else:
            self._drop(exchange)
        self._rearm()

    def clear(self) -> list[Exchange]:
        """Everybody is out at once: the process died."""
        self._advance()
        gone = list(self._held)
        self._held.clear()
        self._reading.clear()
        self._ends.clear()
        self._decoding = 0
        self._rearm()
        return gone

    def pace(self, factor: float) -> None:
        """Go on at this share of the full speed; 0 stands still."""
        self._advance()
        self._factor = factor
        self._rearm()

    def become(self, spec: ServerSpec) -> None:
        """The server is another one from now on; nobody is in it."""
        self._spec = spec

    def crowd(self, foreign: int) -> None:
        """Somebody else takes so many places from now on."""
        self._advance()
        self.foreign = foreign
        self._rearm()

    def _begin_reading(self) -> None:
        self._read_left_s = self._reading[0].truth.prompt_tokens / self._spec.prefill_tokens_per_s

    def _drop(self, exchange: Exchange) -> None:
        if self._held.pop(exchange):
            self._decoding -= 1
        else:
            self._reading.remove(exchange)

    def _advance(self) -> None:
        """Let the work flow up to now."""
        flowed_s = (self._timeline.now - self._at) * self._factor
        self._at = self._timeline.now
        if self._reading:
            self._read_left_s -= flowed_s
            self._reading[0].prefill_s += flowed_s
        if self._decoding:
            self._work += flowed_s / self._token_s()

    def _token_s(self) -> float:
        return self._spec.token_s * (1.0 + self._spec.fill * (self._decoding + self.foreign - 1))

    def _rearm(self) -> None:
        if self._alarm is not None:
            self._alarm.off()
            self._alarm = None
        while self._ends and self._ends[0][2] not in self._held:
            heappop(self._ends)
        if not self._factor:
            return
        left_s = [self._read_left_s] if self._reading else []
        if self._ends:
            left_s.append((self._ends[0][0] - self._work) * self._token_s())
        if left_s:
            self._alarm = self._timeline.at(self._at + max(0.0, min(left_s)) / self._factor, self._flow)

    def _flow(self) -> None:
        """Somebody's prompt is read or answer done."""
        self._alarm = None
        self._advance()
        ready: list[Exchange] = []
        if self._reading and self._read_left_s <= _CLOSE:
            self._read()
        while self._ends and (self._ends[0][0] - self._work <= _CLOSE or self._ends[0][2] not in self._held):
            exchange = heappop(self._ends)[2]
            if exchange in self._held:
                self._drop(exchange)
                ready.append(exchange)
        self._rearm()
        for exchange in ready:
            self._done(exchange)

    def _read(self) -> None:
        exchange = self._reading.popleft()
        if self._reading:
            self._begin_reading()
        if exchange.gone:
            del self._held[exchange]
            self._timeline.at(self._timeline.now, lambda: self._done(exchange))
            return
        self._held[exchange] = True
        self._decoding += 1
        self._serial += 1
        heappush(self._ends, (self._work + exchange.output_tokens - 1, self._serial, exchange))
        self._first(exchange)
