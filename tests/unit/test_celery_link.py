"""A link over a broker that loses, repeats and empties: every payload once, in order."""

from __future__ import annotations

import random
from collections import deque

import pytest

from arriero.engines.celery.link import REPEATED, Link
from arriero.engines.celery.messages import Frame

STEPS = 60


class Channel:
    """One direction: keeps its order, may lose, repeat or forget all it holds."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.held: deque[Frame] = deque()
        self.bad = 0.3

    def put(self, frame: Frame) -> None:
        if self.chance.random() >= self.bad:
            self.held.extend([frame] * (2 if self.chance.random() < self.bad else 1))


class End:
    """Sends payloads, and keeps what it takes in."""

    def __init__(self, out: Channel, into: Channel) -> None:
        self.link, self.out, self.into = Link(), out, into
        self.sent: list[int] = []
        self.taken: list[int] = []

    def send(self) -> None:
        self.sent.append(len(self.sent))
        self.out.put(self.link.send(Frame(kind="work", cancel=(self.sent[-1],))))

    def beat(self, now: float) -> None:
        self.out.put(self.link.tick(Frame(kind="tick")))
        for frame in self.link.due(now):
            self.out.put(frame)

    def hear(self, most: int) -> None:
        while self.into.held and most:
            most -= 1
            frame = self.into.held.popleft()
            if self.link.receive(frame):
                self.taken += frame.cancel


@pytest.mark.parametrize("block", range(10))
def test_each_payload_arrives_once_and_in_order_whatever_the_broker_loses_and_repeats(block: int) -> None:
    for seed in range(block * 5, block * 5 + 5):
        chance = random.Random(seed)
        there, back = Channel(chance), Channel(chance)
        ends = (End(there, back), End(back, there))
        now = 0.0
        for step in range(STEPS * 3):
            now += 1.0
            for end in ends:
                if step < STEPS:
                    for _ in range(chance.randrange(4)):
                        end.send()
                end.hear(chance.randrange(12) if step < STEPS else 1000)
                end.beat(now)
            if step < STEPS and chance.random() < 0.05:
                there.held.clear()
                back.held.clear()
            if step == STEPS:
                there.bad = back.bad = 0.0

        left, right = ends
        assert right.taken == left.sent, seed
        assert left.taken == right.sent, seed
        assert left.link.quiet


def test_without_a_loss_nothing_is_repeated() -> None:
    one, other = Link(), Link()
    for _ in range(3):
        assert other.receive(one.send(Frame(kind="work")))
    one.receive(other.tick(Frame(kind="tick")))

    assert one.quiet
    assert one.due(1.0) == []


def test_what_was_lost_is_repeated_from_the_oldest_and_then_ever_more_rarely() -> None:
    one, other = Link(), Link()
    for _ in range(REPEATED + 5):
        one.send(Frame(kind="work"))
    other.receive(one.tick(Frame(kind="tick")))
    complaint = other.tick(Frame(kind="tick"))
    at = []
    for now in range(40):
        one.receive(complaint)
        if frames := one.due(float(now)):
            assert [frame.seq for frame in frames] == list(range(1, REPEATED + 1))
            at.append(now)

    assert at == [0, 1, 3, 7, 15, 31]
