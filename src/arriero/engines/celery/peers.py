"""Peers: the workers as the coordinator sees them, what each was given, and when one is done without; no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import structs

from arriero.core.events import AttemptBegan, AttemptEnded, Event, InstanceJoined, InstanceLeft, LimitSet
from arriero.core.instance import Instance, InstanceLimit
from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import Attempt, AttemptId
from arriero.engines.celery.link import Link
from arriero.engines.celery.messages import Announcement, Frame, portable

LOST_S = 8.0
"""Silence of a worker, while the broker is there, after which its attempts go elsewhere."""

MOST_ATTEMPTS, MOST_BYTES = 100, 512 * 1024
"""In one frame; a larger request travels alone."""

NO_MORE = InstanceLimit(0, 0, 0)


@dataclass
class Peer:
    """One process of a worker.

    Attributes:
        told: Its last announcement.
        session: Of the last attach.
        state: ``attaching``, ``ready``, ``draining`` or ``gone``.
        silent_s: How long it has said nothing while the broker was there.
        attempts: What it was given and has not ended.
        link: Its end of the session.
    """

    told: Announcement
    session: str
    state: str = "attaching"
    silent_s: float = 0.0
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    link: Link = field(default_factory=Link)
    start: list[Attempt] = field(default_factory=list)
    cancel: list[AttemptId] = field(default_factory=list)
    last_at: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether its instances belong to the fleet."""
        return self.state in ("ready", "draining")

    def instance_of(self, instance: Instance) -> Instance:
        """An instance as the fleet knows it: names need be unique on one machine only."""
        return structs.replace(instance, name=f"{self.told.worker}/{instance.name}", via=self.told.worker)


class Peers:
    """The state of every worker.

    Args:
        batch: Whose coordinator this is; the same when it is started again.
        run: Grows with each start.
        session: Name of this process run; sessions of workers begin with it.
        reply_to: The queue for answers.

    Attributes:
        out: Frames to send, each with its queue; whoever sends them empties it.
        events: What the scheduler is to be told; the same.
        dropped: Frames and outcomes that were late, repeated or foreign.
    """

    def __init__(self, batch: str, run: int, session: str, reply_to: str) -> None:
        self.out: list[tuple[str, Frame]] = []
        self.events: list[Event] = []
        self.dropped = 0
        self._attach = Frame(kind="attach", batch=batch, run=run, reply_to=reply_to)
        self._name = session
        self._minted = 0
        self._peers: dict[str, Peer] = {}
        self._epochs: dict[str, set[str]] = {}
        self._holders: dict[AttemptId, Peer] = {}

    def __iter__(self) -> Iterator[Peer]:
        """Those that are known, one a name."""
        return iter(tuple(self._peers.values()))

    @property
    def serving(self) -> bool:
        """Whether any worker serves this batch."""
        return any(peer.serves for peer in self._peers.values())

    @property
    def held(self) -> list[str]:
        """Workers that serve another batch."""
        batch = self._attach.batch
        return [peer.told.worker for peer in self if peer.state == "attaching" and peer.told.batch not in ("", batch)]

    def announced(self, told: Announcement, now: float) -> None:
        """A worker told everybody that it is there."""
        peer = self._peers.get(told.worker)
        known = self._epochs.setdefault(told.worker, set())
        if peer is not None and peer.told.epoch != told.epoch:
            if told.epoch in known and peer.state != "gone":
                self.dropped += 1  # the older of two with one name: its turn comes when the newer is gone
                return
            self._lose(peer, now)
            peer = None
        known.add(told.epoch)
        if told.state != "ready":
            return
        if peer is None or peer.state == "gone":
            self._minted += 1
            peer = self._peers[told.worker] = Peer(told, f"{self._name}-{self._minted}")
        peer.told = told
        if peer.state == "attaching":
            self.out.append((told.queue, structs.replace(self._attach, session=peer.session)))

    def heard(self, frame: Frame, now: float) -> None:
        """A frame came from a worker."""
        peer = self._peers.get(frame.worker)
        if peer is None or peer.session != frame.session or peer.state == "gone":
            self.dropped += 1
            return
        peer.silent_s = 0.0
        if peer.state == "attaching":
            peer.state = "ready"
            self.events += [InstanceJoined(peer.instance_of(one)) for one in peer.told.instances]
        if frame.state == "draining" and peer.state == "ready":
            peer.state = "draining"
            self.events += [LimitSet(NO_MORE, peer.instance_of(one).name) for one in peer.told.instances]
        if peer.link.receive(frame):
            self._take(peer, frame, now)
        elif frame.seq:
            self.dropped += 1
        if frame.state == "gone":
            self._lose(peer, now)

    def start(self, attempt: Attempt) -> bool:
        """Give an attempt to the worker that holds its instance; False if none does."""
        worker, _, name = attempt.instance.partition("/")
        peer = self._peers.get(worker)
        if peer is None or not peer.serves or all(one.name != name for one in peer.told.instances):
            return False
        peer.attempts[attempt.id] = attempt
        self._holders[attempt.id] = peer
        peer.start.append(portable(attempt, name))
        return True

    def cancel(self, attempt: AttemptId) -> bool:
        """Ask for the end of an attempt; False if no worker has it."""
        peer = self._holders.get(attempt)
        if peer is None:
            return False
        peer.cancel.append(attempt)
        return True

    def leave(self, name: str, now: float) -> None:
        """An instance belongs to the fleet no more: what runs there ends as lost."""
        for attempt in [one for one in self._attempts() if one.instance == name]:
            peer = self._holders[attempt.id]
            peer.cancel.append(attempt.id)
            self._end(
                peer, attempt.id, Failure(kind=FailureKind.LOST, detail="the instance left the fleet", own=True), now
            )

    def gather(self) -> None:
        """Put what was given and cancelled since the last time into frames."""
        for peer in self:
            while peer.start or peer.cancel:
                size_bytes = count = 0
                for attempt in peer.start[:MOST_ATTEMPTS]:
                    size_bytes += attempt.request.size_bytes if attempt.request is not None else 0
                    if count and size_bytes > MOST_BYTES:
                        break
                    count += 1
                frame = Frame(
                    kind="work", session=peer.session, start=tuple(peer.start[:count]), cancel=tuple(peer.cancel)
                )
                del peer.start[:count]
                peer.cancel.clear()
                self.out.append((peer.told.queue, peer.link.send(frame)))

    def beat(self, now: float, gone_s: float) -> None:
        """Tell each worker that we are there, repeat what was lost, and do without those that are silent.

        Args:
            now: Engine seconds.
            gone_s: Seconds since the last beat in which the broker was there and so were we.
        """
        for peer in self:
            if peer.state == "gone":
                continue
            peer.silent_s += gone_s
            if peer.silent_s > LOST_S and (peer.serves or peer.told.batch in ("", self._attach.batch)):
                self._lose(peer, now)
            elif peer.serves:
                self.out.append((peer.told.queue, peer.link.tick(Frame(kind="tick", session=peer.session))))
                self.out += [(peer.told.queue, frame) for frame in peer.link.due(now)]

    def close(self, now: float) -> None:
        """Let every worker go; what runs ends as cancelled."""
        for peer in self:
            if peer.state != "gone":
                self.out.append((peer.told.queue, Frame(kind="detach", session=peer.session)))
            for attempt in list(peer.attempts):
                self._end(
                    peer, attempt, Failure(kind=FailureKind.CANCELLED, detail="the engine was closed", own=True), now
                )
            peer.state = "gone"

    def _attempts(self) -> list[Attempt]:
        return [attempt for peer in self for attempt in peer.attempts.values()]

    def _take(self, peer: Peer, frame: Frame, now: float) -> None:
        """What happened there, at our time: later than what was told before, and not later than now."""
        for told in sorted(frame.told, key=lambda one: -one.age_s):
            at = peer.last_at = max(peer.last_at, now - told.age_s)
            if told.id not in peer.attempts:
                self.dropped += 1
            elif told.outcome is None:
                self.events.append(AttemptBegan(told.id, at))
            else:
                del peer.attempts[told.id], self._holders[told.id]
                self.events.append(AttemptEnded(told.id, at, told.outcome))

    def _lose(self, peer: Peer, now: float) -> None:
        """It is done without: its instances leave, what it had in flight is lost."""
        if peer.serves:
            self.events += [InstanceLeft(peer.instance_of(one).name) for one in peer.told.instances]
        peer.state = "gone"
        peer.start.clear()
        for attempt in list(peer.attempts):
            self._end(peer, attempt, Failure(kind=FailureKind.LOST, detail="the worker is gone", own=True), now)

    def _end(self, peer: Peer, attempt: AttemptId, outcome: Failure, now: float) -> None:
        del peer.attempts[attempt], self._holders[attempt]
        self.events.append(AttemptEnded(attempt, max(now, peer.last_at), outcome))
