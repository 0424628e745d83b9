"""Fleet: the members, and for each unit a heap of those with room, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from msgspec import structs

from arriero.core.instance import Concurrency, Instance, InstanceLimit
from arriero.core.member import Member, Phase
from arriero.core.policies.limit import Limit, limit_for
from arriero.core.policies.predict import Pace
from arriero.core.remembered import Served
from arriero.core.request import Attempt, Unit

UNKNOWN_SECONDS_PER_TOKEN = 0.05
"""Pace of an instance of which nothing is known, where nothing is known of any other."""

PARKED_S = 1e6
"""What a place in a server's queue costs more than any free slot, in seconds a token."""

_Entry = tuple[float, int, int, Member]


class Fleet:
    """All instances, and which of them has room for what.

    A start costs O(log n): a member is put into the heap of each unit it serves whenever something about it changes, with
    the number of that change; entries with an older number are skipped when they surface.

    Attributes:
        concurrency: What the user allows over the whole fleet.
        in_flight: Requests in flight over the fleet; upkeep is not counted.
        usable: Members that are ready and not ejected.
        coming: Members that will soon serve; while there are any, a fixed total is dealt out evenly.
    """

    def __init__(self, concurrency: Concurrency) -> None:
        self.concurrency = concurrency
        self.in_flight = 0
        self.usable = 0
        self.coming = 0
        self._joining = 0
        self._dealt: int | None = None
        self._members: dict[str, Member] = {}
        self._rooms: dict[Unit, list[_Entry]] = {}
        self._servers: dict[Unit, Member] = {}
        self._joined = 0
        self._pace_s = UNKNOWN_SECONDS_PER_TOKEN

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def get(self, name: str) -> Member | None:
        """The member of that name; None if there is none."""
        return self._members.get(name)

    def join(self, instance: Instance, remembered: Sequence[Served] = ()) -> Member:
        """A new member, or the same name again under a new description; ``remembered`` is of earlier batches."""
        self._joined += 1
        member = self._members[instance.name] = Member(instance, self._joined, remembered)
        self._count(member)
        return member

    def leave(self, name: str) -> Member | None:
        """The member is gone; its heap entries are stale from now on."""
        member = self._members.pop(name, None)
        if member is not None:
            member.entry += 1
            self._joining -= member.awaited and not member.counted
            self.coming -= member.awaited
            self.usable -= member.counted
            member.counted = member.awaited = False
        return member

    @property
    def total(self) -> int | None:
        """Attempts that may be in flight over the fleet; None for no bound."""
        if self.concurrency.per_instance is not None:
            return max(1, self.concurrency.per_instance * self.usable)
        return self.concurrency.total

    def limit(self, member: Member, unit: Unit) -> Limit:
        """The limit of a unit there, made when first asked for."""
        limit = member.limits.get(unit)
        if limit is None:
            known = member.recall(unit)
            limit = limit_for(
                member.instance,
                member.backend,
                member.kind,
                known.slots,
                self.concurrency.learned,
                tested=known.tested,
            )
            if member.rtt_s is not None:
                limit.round_trip(member.rtt_s)
            member.limits[unit] = limit
        return limit

    def bound(self, member: Member, limit: InstanceLimit, now: float) -> None:
        """The user set new bounds for one instance; what was learned there begins anew inside them."""
        member.instance = structs.replace(member.instance, limit=limit)
        member.limits = {
            unit: limit_for(
                member.instance, member.backend, member.kind, known.slots, learned=True, tested=known.tested
            )
            for unit, known in member.limits.items()
        }
        self.touch(member, now)

    def pace(self, member: Member, unit: Unit) -> Pace:
        """The speed of a unit there, made when first asked for."""
        pace = member.paces.get(unit)
        if pace is None:
            known = member.recall(unit)
            pace = member.paces[unit] = Pace(token_s=known.token_s, load_s=known.load_s)
        return pace

    def room(self, member: Member, unit: Unit, now: float) -> int:
        """How many more attempts of the unit may start there now; the fleet's total is checked apart.

        Args:
            member: Where.
            unit: For what; the member must serve it.
            now: Monotonic seconds.
        """
        if member.alone:
            return 0
        most = self.limit(member, unit).limit(now)
        cap = member.health.cap()
        if cap is not None:
            most = min(most, cap)
        share = self._share()
        if share is not None:
            most = min(most, share)
        return most - member.in_flight - member.health.closed(now)

    def touch(self, member: Member, now: float) -> None:
        """Something about the member changed: its place in the heaps is found anew."""
        member.entry += 1
        self._count(member)
        self._offer(member, now)

    def _share(self) -> int | None:
        """Of ``-c N``, what one member is given while others are awaited; None once all are here.

        Who is ready first would otherwise be given all of it: N requests would wait there while the others stand idle.
        """
        total = self.total
        return None if total is None or not self.coming else -(-total // (self.usable + self._joining))

    def _count(self, member: Member) -> None:
        usable, coming = member.usable, member.coming
        self.usable += usable - member.counted
        self._joining += (coming and not usable) - (member.awaited and not member.counted)
        self.coming += coming - member.awaited
        member.counted, member.awaited = usable, coming

    def _offer(self, member: Member, now: float) -> None:
        """Put the member into the heap of each unit that it serves and has room for."""
        if not member.usable:
            return
        for unit, heap in self._rooms.items():
            if member.serves(unit) and self.room(member, unit, now) > 0:
                self._push(heap, member, unit)

    def best(self, unit: Unit, now: float) -> Member | None:
        """The member with room where the next request of the unit is expected to end first; None if none has room."""
        heap = self._rooms.get(unit)
        if heap is None:
            heap = self._rooms[unit] = []
            for member in self:
                if member.serves(unit):
                    self._push(heap, member, unit)
        share = self._share()
        if share != self._dealt:
            self._dealt = share
            for member in self:
                self._offer(member, now)
        while heap:
            _, _, entry, member = heap[0]
            if entry == member.entry and member.serves(unit) and self.room(member, unit, now) > 0:
                return member
            heappop(heap)
        return None

    @property
    def settled(self) -> bool:
        """Whether every member has told what it is, or could not."""
        return all(member.settled for member in self)

    @property
    def known(self) -> bool:
        """Whether every member has told what it is and has."""
        return all(member.phase is not Phase.JOINING for member in self)

    def hopeless(self, unit: Unit) -> bool:
        """Whether every member is known and none can ever serve the unit."""
        return not any(member.can_serve(unit) for member in self) and self.known

    def served(self, unit: Unit) -> bool:
        """Whether a trusted member serves the unit or could after a load."""
        last = self._servers.get(unit)  # asked again and again: mostly the one that did it last time still does
        if last is not None and last.trusted and last.can_serve(unit):
            return True
        found = next((member for member in self if member.trusted and member.can_serve(unit)), None)
        if found is not None:
            self._servers[unit] = found
        return found is not None

    @property
    def trusted(self) -> bool:
        """Whether there is a trusted member."""
        return any(member.trusted for member in self)

    def others(self, unit: Unit, failed_on: frozenset[str]) -> bool:
        """Whether a usable member outside ``failed_on`` serves the unit."""
        return any(member.name not in failed_on and member.serves(unit) for member in self)

    def skip(self, unit: Unit) -> None:
        """Leave the best member of the unit out until something about it changes."""
        heappop(self._rooms[unit])

    def started(self, member: Member, attempt: Attempt, now: float) -> None:
        """An attempt began to be sent."""
        member.running[attempt.id] = attempt
        self.in_flight += attempt.request is not None
        if attempt.unit is not None:
            self.limit(member, attempt.unit).started(attempt.id, now)
        self.touch(member, now)

    def ended(self, member: Member, attempt: Attempt) -> None:
        """An attempt is over; what it teaches is told to the limit by the scheduler."""
        if member.running.pop(attempt.id, None) is not None:
            self.in_flight -= attempt.request is not None

    def learned(self, member: Member, unit: Unit) -> None:
        """The pace of a member was observed; it becomes the guess for members of which nothing is known."""
        self._pace_s += 0.1 * (self.pace(member, unit).seconds_per_token(1) - self._pace_s)

    def slots(self) -> int:
        """Requests that can really run at once, as far as is known: over members that hold a unit."""
        return sum(
            max((limit.slots for limit in member.limits.values()), default=0) for member in self if member.usable
        )

    def _push(self, heap: list[_Entry], member: Member, unit: Unit) -> None:
        if len(heap) > 64 + 8 * len(self._members):
            heap[:] = [entry for entry in heap if entry[2] == entry[3].entry]
            heapify(heap)
        heappush(heap, (self._cost(member, unit), member.index, member.entry, member))

    def _cost(self, member: Member, unit: Unit) -> float:
        """Expected seconds a token for one more request: slower when shared; a free slot goes before any place in a queue."""
        busy = member.in_flight + 1
        slots = max(1, self.limit(member, unit).slots)
        pace = self.pace(member, unit)
        per_token_s = (
            pace.seconds_per_token(min(busy, slots)) if pace.known else self._pace_s * (1 + 0.1 * min(busy, slots))
        )
        return per_token_s if busy <= slots else PARKED_S + per_token_s * busy / slots
