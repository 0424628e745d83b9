"""Deadlines on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from arriero.backends.dialects import backend
from arriero.backends.wire import HttpCall
from arriero.core.outcome import FailureKind
from arriero.core.request import Attempt, AttemptId, Timeouts
from arriero.engines.deadlines import AWAY_S, BEAT_S, Deadlines
from arriero.engines.flight import BODY_BYTES, Flight


class Clock:
    """Time, and the one timer that may be set."""

    def __init__(self, scale: float = 1.0) -> None:
        self.real_s = 100.0
        self.scale = scale
        self.due: tuple[float, Callable[[], None]] | None = None
        self.armed = 0

    def now(self) -> float:
        return self.real_s * self.scale

    def call_later(self, seconds: float, function: Callable[[], None]) -> Clock:
        self.due = (self.real_s + seconds, function)
        self.armed += 1
        return self

    def cancel(self) -> None:
        self.due = None

    def run(self, seconds: float) -> None:
        """Let time go by, the timer going off whenever it is due."""
        end = self.real_s + seconds
        while self.due is not None and self.due[0] <= end:
            at, function = self.due
            self.due = None
            self.real_s = max(self.real_s, at)
            function()
        self.real_s = end

    def stop(self, seconds: float) -> None:
        """Let time go by while the process is stopped: the timer goes off late."""
        self.real_s += seconds
        self.run(0.0)


class Watched:
    """Some flights under deadlines."""

    def __init__(self, scale: float = 1.0) -> None:
        self.clock = Clock(scale)
        self.flights: dict[AttemptId, Flight] = {}
        self.deadlines = Deadlines(self.flights, self.clock.now, self.clock.call_later, scale)

    def fly(self, number: int, first_byte_s: float = 30.0, idle_s: float = 10.0, total_s: float = 60.0) -> Flight:
        timeouts = Timeouts(first_byte_s, idle_s, total_s)
        attempt = Attempt(id=number, instance="a", backend="ollama", timeouts=timeouts)
        flight = self.flights[number] = Flight(attempt, backend("ollama"), self.clock.now())
        flight.begin(HttpCall(method="GET", path="/", timeouts=timeouts), self.clock.now())
        self.deadlines.watch(flight)
        return flight


def broken(flight: Flight) -> tuple[FailureKind, str] | None:
    return (flight.broken.kind, flight.broken.detail) if flight.broken else None


def test_a_first_byte_that_does_not_come_ends_the_flight_at_its_time():
    here = Watched()
    flight = here.fly(1)
    here.clock.run(29.9)
    assert broken(flight) is None
    here.clock.run(0.2)
    assert broken(flight) == (FailureKind.TIMEOUT, "no first byte after 30 s")


def test_silence_after_a_piece_ends_the_flight_and_each_piece_gives_new_time():
    here = Watched()
    flight = here.fly(1)
    for _ in range(3):
        here.clock.run(9.0)
        flight.take(b"x", here.clock.now())
        here.deadlines.watch(flight)
    assert broken(flight) is None
    here.clock.run(10.1)
    assert broken(flight) == (FailureKind.TIMEOUT, "silent for 10 s inside the answer")


class Body:
    """A body that fills by itself."""

    total_bytes = 0


def test_a_body_that_is_gathered_elsewhere_gives_new_time_while_it_grows():
    here = Watched()
    flight = here.fly(1)
    body = Body()
    flight.take(b"x", here.clock.now())
    flight.follow(body)
    here.deadlines.watch(flight)
    for size in range(2, 5):
        body.total_bytes = size
        here.clock.run(9.0)
    assert broken(flight) is None
    here.clock.run(10.1)
    assert broken(flight) == (FailureKind.TIMEOUT, "silent for 10 s inside the answer")


def test_a_body_that_outgrows_the_bound_is_let_go_also_when_it_is_gathered_elsewhere():
    here = Watched()
    flight = here.fly(1)
    body = Body()
    flight.follow(body)
    body.total_bytes = BODY_BYTES
    here.clock.run(1.1)
    assert broken(flight) is None
    body.total_bytes = BODY_BYTES + 1
    here.clock.run(1.1)
    assert broken(flight) == (FailureKind.BAD_REPLY, "larger than 64 MB")


def test_the_total_bound_holds_whatever_comes():
    here = Watched()
    flight = here.fly(1)
    while here.clock.real_s < 159.5:
        here.clock.run(1.0)
        flight.take(b"x", here.clock.now())
    here.clock.run(1.0)
    assert broken(flight) == (FailureKind.TIMEOUT, "not finished after 60 s")


def test_an_idle_bound_much_shorter_than_a_beat_fires_in_time():
    here = Watched()
    flight = here.fly(1, first_byte_s=30.0, idle_s=0.2)
    flight.take(b"x", here.clock.now())
    here.deadlines.watch(flight)
    here.clock.run(0.25)
    assert broken(flight) == (FailureKind.TIMEOUT, "silent for 0.2 s inside the answer")


def test_engine_seconds_run_by_the_time_scale():
    here = Watched(scale=10.0)
    flight = here.fly(1)
    here.clock.run(2.9)
    assert broken(flight) is None
    here.clock.run(0.2)
    assert broken(flight) == (FailureKind.TIMEOUT, "no first byte after 30 s")


def test_a_process_that_was_stopped_blames_nobody_and_gives_the_time_back():
    here = Watched()
    flight = here.fly(1)
    here.clock.run(20.0)
    here.clock.stop(3600.0)
    assert broken(flight) is None
    here.clock.run(9.0)
    assert broken(flight) is None
    here.clock.run(1.1)
    assert broken(flight) == (FailureKind.TIMEOUT, "no first byte after 30 s")


def test_a_process_that_was_stopped_between_two_pieces_starts_no_silence():
    here = Watched()
    flight = here.fly(1)
    flight.take(b"x", here.clock.now())
    here.clock.run(8.0)
    here.clock.stop(100.0)
    here.clock.run(1.5)
    assert broken(flight) is None
    here.clock.run(1.0)
    assert broken(flight) == (FailureKind.TIMEOUT, "silent for 10 s inside the answer")


def test_being_a_little_late_is_no_absence():
    here = Watched()
    flight = here.fly(1, first_byte_s=2.0)
    here.clock.stop(AWAY_S - 0.1)
    assert broken(flight) == (FailureKind.TIMEOUT, "no first byte after 2 s")


def test_flights_without_bounds_never_expire():
    here = Watched()
    flight = here.fly(1, inf, inf, inf)
    here.clock.run(10_000.0)
    assert broken(flight) is None


def test_a_thousand_flights_need_one_timer_and_about_one_look_a_beat():
    here = Watched()
    for number in range(1000):
        here.fly(number)
    here.clock.run(10.0)
    assert here.clock.armed <= 2 + 10 / BEAT_S


def test_nothing_is_watched_when_nothing_flies():
    here = Watched()
    here.fly(1)
    here.flights.clear()
    here.clock.run(5.0)
    assert here.clock.due is None
    here.fly(2)
    assert here.clock.due is not None
    here.deadlines.close()
    assert here.clock.due is None


def test_the_first_reason_to_stop_stays():
    here = Watched()
    flight = here.fly(1)
    flight.stop(FailureKind.CANCELLED, "cancelled")
    here.clock.run(100.0)
    assert broken(flight) == (FailureKind.CANCELLED, "cancelled")
