"""Run: one world from its first request to its last, through drains, crashes of ours and retries."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import inf
from random import Random

from arriero.core.events import (
    BatchCancelled,
    BatchOpened,
    Event,
    InputReady,
    InstanceJoined,
    InstanceLeft,
)
from arriero.core.instance import Instance
from arriero.core.request import BatchId, Result
from arriero.drive import BEAT_S, drive
from arriero.simulator.engine import Host
from arriero.simulator.fault import strike
from arriero.simulator.feed import Key, ListFeed, SlowSink
from arriero.simulator.gateway import Gateway
from arriero.simulator.server import Server
from arriero.simulator.session import End, Session, Watch
from arriero.simulator.spec import ServerSpec
from arriero.simulator.timeline import Timeline
from arriero.simulator.world import World

SESSIONS_MOST = 12
"""So often a batch may be resumed before it must have ended."""

BREAK_S = 120.0
"""After a drain or an outage somebody takes so long to resume."""

SCAN_PARTS = 4
"""The scan of a slow input makes so many steps."""


class CrashError(Exception):
    """Our own process dies here."""


class Run:
    """Builds a world and lives through it.

    Args:
        world: The world.
        watch: Sees everything.

    Attributes:
        timeline: Virtual time.
        hosts: What answers, by instance.
        servers: Every server, hidden ones too, by name.
        sink: The disk; it survives us.
        struck: Counts what requests have met.
        cancelled: Batches that were cancelled; they are not resumed.
    """

    def __init__(self, world: World, watch: Watch | None = None) -> None:
        self.world = world
        self.watch = watch or Watch()
        self.timeline = Timeline()
        self.struck: Counter[str] = Counter()
        self.servers: dict[str, Server] = {}
        self.hosts: dict[str, Host] = {spec.name: self._host(spec) for spec in world.servers}
        self.sink = SlowSink(self.timeline, world.commit_s, world.sink_most, self._roomy_again)
        self.cancelled: set[BatchId] = set()
        self._remembered = dict(world.remembered)
        self._sizes = list(world.sizes)
        self._instances: dict[str, Instance] = {instance.name: instance for instance in world.instances}
        self._session: Session | None = None
        self._round = 0

    def out(self) -> dict[Key, Result]:
        """Live through it.

        Returns:
            What was kept, by key.
        """
        for fault in self.world.faults:
            strike(fault, self.servers[fault.server], self.timeline)
        for at, event in self.world.script:
            self.timeline.at(at, partial(self._post, event))
        for at, gap_s in self.world.gaps:
            self.timeline.at(at, partial(self._sleep, gap_s))
        for at in self.world.crashes:
            self.timeline.at(at, self._crash)
        for number in range(SESSIONS_MOST):
            end = self._live(number)
            if end == "finished" and not self._next_round():
                break
            if end == "stopped":
                self.timeline.go_to(self.timeline.now + BREAK_S)
        else:
            raise AssertionError("the batch does not end, however often it is resumed")
        while self.timeline.next_at() < inf:
            self.timeline.step()
        return self.sink.kept

    def _live(self, number: int) -> End:
        """One session, from joining to its end."""
        session = self._session = Session(self.world, number, self.watch, self.timeline, self.hosts, self.sink)
        scheduler, now = session.scheduler, self.timeline.now
        self.watch.opened(session)
        for instance in self._instances.values():
            scheduler.tell(InstanceJoined(instance, self._remembered.get(instance.name, ())), now)
        for sizes in self._sizes:
            scheduler.lengths.recall(sizes)
        for batch in self.world.batches:
            if batch.batch.id not in self.cancelled:
                self._open(session, batch.batch.id)
        loop = drive(
            scheduler,
            session.engine,
            session.feeds,
            session,
            after_turn=session.after_turn,
            observe=session.observe,
            beat_s=BEAT_S if self.world.gaps else inf,
        )
        end: End = "finished"
        try:
            loop.send(None)
        except StopIteration:
            self._session = None
            end = "stopped" if scheduler.draining else "finished"
            while not self.sink.idle:
                self.timeline.step()
        except CrashError:
            end = "crashed"
            session.engine.vanish()
            self.sink.power_cut()
        self._session = None
        if self.world.learns:
            self._remembered |= {member.name: tuple(member.learned()) for member in scheduler.fleet}
            self._sizes = scheduler.lengths.learned()
        self.watch.closed(session, end)
        return end

    def _open(self, session: Session, batch_id: BatchId) -> None:
        """A batch begins now, or when its time comes; its rows come as fast as its scan."""
        spec = next(spec for spec in self.world.batches if spec.batch.id == batch_id)
        used = {
            position: count
            for (batch, position, round_number), count in self.sink.charged.items()
            if batch == batch_id and round_number == self._round
        }
        done = self.sink.kept if not self._round else _Ended(self.sink.kept, self._round)
        feed = session.feeds[batch_id] = ListFeed(spec.rows, done, used, self._round)
        session.scheduler.tell(BatchOpened(spec.batch), self.timeline.now)
        late = spec.opens_at - self.timeline.now
        if late > 0.0 or spec.scan_s:
            feed.scanned, feed.complete = 0, False
            begun = max(spec.opens_at, self.timeline.now)
            for part in range(1, SCAN_PARTS + 1):
                at = begun + spec.scan_s * part / SCAN_PARTS
                rows = len(spec.rows) * part // SCAN_PARTS
                self.timeline.at(at, partial(self._scanned, session, feed, rows, complete=False))
            at = begun + spec.scan_s * (1.0 + 1.0 / SCAN_PARTS)
            self.timeline.at(at, partial(self._scanned, session, feed, len(spec.rows), complete=True))

    def _scanned(self, session: Session, feed: ListFeed, rows: int, *, complete: bool) -> None:
        """The scan has come further; that it is over is known only a moment after its last row."""
        feed.scanned, feed.complete = rows, complete
        if session is self._session:
            session.engine.post(InputReady(0))

    def _next_round(self) -> bool:
        """Whether failed rows are tried once more."""
        if self._round or not self.world.retry:
            return False
        self._round = 1
        self.struck["new round"] += 1
        return True

    def _host(self, spec: ServerSpec) -> Server | Gateway:
        if spec.hidden:
            return Gateway(spec, [self._server(hidden) for hidden in spec.hidden])
        return self._server(spec)

    def _server(self, spec: ServerSpec) -> Server:
        random = Random(f"{self.world.seed} server {spec.name}")
        server = self.servers[spec.name] = Server(spec, self.timeline, random, self.struck)
        return server

    def _post(self, event: Event) -> None:
        if isinstance(event, InstanceJoined):
            self._instances[event.instance.name] = event.instance
        elif isinstance(event, InstanceLeft):
            self._instances.pop(event.name, None)
        elif isinstance(event, BatchCancelled):
            self.cancelled.add(event.batch)
        if self._session is not None:
            self.struck[type(event).__name__] += 1
            self._session.engine.post(event)

    def _roomy_again(self) -> None:
        if self._session is not None:
            self._session.engine.post(InputReady(0))

    def _sleep(self, gap_s: float) -> None:
        if self._session is not None:
            self.struck["gap"] += 1
            self._session.engine.sleep(gap_s)

    def _crash(self) -> None:
        if self._session is not None:
            self.struck["our crash"] += 1
            raise CrashError


class _Ended:
    """In a later round only the rows that failed before are open."""

    def __init__(self, kept: dict[Key, Result], round_number: int) -> None:
        self._kept = kept
        self._round = round_number

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, tuple):
            return False
        batch, position, _ = key
        return (batch, position, self._round) in self._kept or self._kept[batch, position, 0].succeeded
