"""Link: numbered frames of one session, so that each arrives once and in order whatever the broker loses or repeats."""

from __future__ import annotations

from collections import deque
from itertools import islice

from msgspec import structs

from arriero.engines.celery.messages import Frame

REPEATED = 64
"""Frames that are sent again at a time, the oldest first."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 16.0
"""Between two repetitions, doubled until the other side has taken something in: a backlog must not grow by repeats."""


class Link:
    """One end of a session.

    Channels keep their order, so a tick that names a frame that has not come, or a frame that is not the next one,
    proves a loss. What comes out of order is dropped: it is repeated with what was lost.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._seen = 0
        self._gap = False
        self._unseen: deque[Frame] = deque()
        self._wanted = False
        self._pause_s = FIRST_PAUSE_S
        self._again_at = 0.0

    @property
    def quiet(self) -> bool:
        """Whether the other side has taken in all that was sent."""
        return not self._unseen

    def send(self, frame: Frame) -> Frame:
        """Number a frame that carries something; it is kept until the other side has it."""
        self._sent += 1
        numbered = self._stamped(structs.replace(frame, seq=self._sent))
        self._unseen.append(numbered)
        return numbered

    def tick(self, frame: Frame) -> Frame:
        """Let a frame that carries nothing tell how far both sides are."""
        return self._stamped(structs.replace(frame, seq=0, sent=self._sent))

    def receive(self, frame: Frame) -> bool:
        """Take a frame in; whether what it carries is new and next."""
        while self._unseen and self._unseen[0].seq <= frame.seen:
            self._unseen.popleft()
            self._pause_s, self._again_at = FIRST_PAUSE_S, 0.0
        self._wanted = frame.gap and bool(self._unseen)
        if frame.seq == 0:
            self._gap = frame.sent > self._seen
            return False
        if frame.seq <= self._seen:
            return False
        self._gap = frame.seq > self._seen + 1
        if not self._gap:
            self._seen = frame.seq
        return not self._gap

    def due(self, now: float) -> list[Frame]:
        """Frames to send again now."""
        if not self._wanted or now < self._again_at:
            return []
        self._wanted = False
        self._again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return [self._stamped(frame) for frame in islice(self._unseen, REPEATED)]

    def _stamped(self, frame: Frame) -> Frame:
        return structs.replace(frame, seen=self._seen, gap=self._gap)
