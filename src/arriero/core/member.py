"""Member: one instance as the scheduler knows it: what it holds, what runs there, how much it may be given."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import inf

from arriero.core.instance import BackendName, Instance, Kind
from arriero.core.outcome import FailureKind, Model
from arriero.core.policies.health import Health
from arriero.core.policies.limit import Limit
from arriero.core.policies.predict import Pace
from arriero.core.queue import Open
from arriero.core.remembered import Served
from arriero.core.request import Attempt, AttemptId, Unit
from arriero.core.step import Step


class Phase(StrEnum):
    """Where an instance stands; ejection is told apart by ``health``."""

    JOINING = "joining"  # it is being asked what it is and what it has
    READY = "ready"  # it can be given work, once it holds the unit
    LEFT = "left"  # it is no longer part of the fleet


class Member:
    """One instance of the fleet.

    Attributes:
        instance: As its operator described it.
        index: Its place in the order of joining; settles ties.
        answers: Whether it answered a question, by (dialect, subject); what was not asked is absent.
        backend: The dialect it speaks; ``auto`` until known.
        kind: ``server`` or ``gateway``; ``auto`` until known.
        endpoint: The only generation path it serves; ``""`` for any.
        on_trial: It is a gateway that is asked on ``/api/generate`` because ``/api/chat`` failed.
        phase: Where it stands.
        reason: Why it is unusable, in our words; ``""`` otherwise.
        detail: More of ``reason``, in our words too (``connection refused``, ``answered 401``); ``""`` if there is none.
        fault: The failure kind behind ``reason``; ``""`` if there is none.
        version: What the server calls its version.
        models: Installed models by name; None where the server lists none.
        unit: The unit assigned to it (servers that hold one at a time).
        ready_for: The unit that is resident and known, so that its requests may start; None while it is loaded.
        todo: Upkeep still to do before it serves its unit, in order (``upkeep.py``).
        loaded: Units that this process loaded there, and so may unload; on a gateway those that answered a probe.
        remembered: What earlier batches learned there, by unit.
        refused: Units it cannot serve, and why (model missing, load failed for good).
        contexts: Context tokens of a unit there, once the server has said.
        ours: The load that is due next is the first of its unit there, so that it may be undone.
        paces: Learned speed, a unit.
        limits: Learned limit, a unit.
        health: Whether it can be trusted.
        running: Attempts in flight there, by id.
        alone: A suspect request must have the instance for itself.
        answered_at: When a request last succeeded there; None if none did.
        slow_at: When its load has lasted so long that nobody waits for it any more; ``inf`` while it loads nothing.
        slow: That moment has come.
        dropped: A connection failed since the last answer: whoever restarts a server may have pulled its model anew.
        streak: Attempts charged since the last success, with their requests; refunded if it is ejected.
        noted: Codes of what was said of it once.
        rtt_s: Seconds of the quickest exchange that computes nothing; None if unknown.
        counted: Whether the fleet counts it as usable.
        awaited: Whether the fleet counts it as coming.
        entry: Number of its newest entry in the room heaps; older ones are stale.
    """

    __slots__ = (
        "alone",
        "answered_at",
        "answers",
        "awaited",
        "backend",
        "contexts",
        "counted",
        "detail",
        "dropped",
        "endpoint",
        "entry",
        "fault",
        "health",
        "index",
        "instance",
        "kind",
        "limits",
        "loaded",
        "models",
        "noted",
        "on_trial",
        "ours",
        "paces",
        "phase",
        "ready_for",
        "reason",
        "refused",
        "remembered",
        "rtt_s",
        "running",
        "slow",
        "slow_at",
        "streak",
        "todo",
        "unit",
        "version",
    )

    def __init__(self, instance: Instance, index: int, remembered: Sequence[Served] = ()) -> None:
        self.instance = instance
        self.index = index
        self.backend: BackendName = instance.backend
        self.kind: Kind = instance.kind
        self.endpoint = instance.endpoint
        self.on_trial = False
        self.ours = False
        self.slow = False
        self.slow_at = inf
        self.answers: dict[tuple[str, str], bool] = {}
        self.phase = Phase.JOINING
        self.reason = ""
        self.detail = ""
        self.fault = ""
        self.version = ""
        self.models: dict[str, Model] | None = None
        self.unit: Unit | None = None
        self.ready_for: Unit | None = None
        self.todo: list[Step] = []
        self.loaded: set[Unit] = set()
        self.refused: dict[Unit, FailureKind] = {}
        self.contexts: dict[Unit, int] = {}
        self.paces: dict[Unit, Pace] = {}
        self.limits: dict[Unit, Limit] = {}
        self.health = Health()
        self.running: dict[AttemptId, Attempt] = {}
        self.alone = False
        self.answered_at: float | None = None
        self.dropped = False
        self.streak: list[tuple[Open, Attempt]] = []
        self.noted: set[str] = set()
        self.remembered = {served.unit: served for served in remembered}
        self.rtt_s: float | None = None
        self.counted = False
        self.awaited = False
        self.entry = 0

    @property
    def name(self) -> str:
        """Name in the fleet."""
        return self.instance.name

    @property
    def in_flight(self) -> int:
        """Attempts that hold or wait for a place there."""
        return len(self.running)

    @property
    def single(self) -> bool:
        """Whether it holds one unit at a time, so that units are assigned and loaded (an Ollama server)."""
        return self.backend == "ollama" and self.kind == "server"

    @property
    def usable(self) -> bool:
        """Whether it serves or could serve: ready and not ejected."""
        return self.phase is Phase.READY and not self.health.ejected

    @property
    def trusted(self) -> bool:
        """Usable, and not only let in again to find out whether it is."""
        return self.usable and self.health.down_since is None

    @property
    def coming(self) -> bool:
        """Whether it will soon serve: it is being asked what it is, or loads its unit."""
        if self.phase is Phase.JOINING:
            return not self.health.ejected
        loads = self.single and self.unit is not None and self.ready_for is None
        return self.usable and loads and not self.slow

    @property
    def settled(self) -> bool:
        """Whether it has told what it is, or could not."""
        return self.phase is not Phase.JOINING or self.health.ejected

    def has(self, model: str) -> bool:
        """Whether it lists the model; True where nothing is listed, as only trying can tell.

        Ollama completes a name without a tag by ``:latest``.
        """
        if self.models is None:
            return True
        return model in self.models or (":" not in model and f"{model}:latest" in self.models)

    def model(self, name: str) -> Model | None:
        """What it lists about a model; None where it lists nothing."""
        models = self.models or {}
        return models.get(name) or models.get(f"{name}:latest")

    def digest(self, unit: Unit) -> str:
        """Content digest of the unit's model there; ``""`` where none is listed."""
        known = self.model(unit.model)
        return "" if known is None else known.digest

    def recall(self, unit: Unit) -> Served:
        """What an earlier batch learned of the unit there; as good as nothing if that was another build of the model."""
        known, digest = self.remembered.get(unit), self.digest(unit)
        return known if known is not None and known.digest == digest else Served(unit=unit, digest=digest)

    def learned(self) -> list[Served]:
        """What is worth keeping for the next batch: of each unit that has answered."""
        return [self._served(unit, pace) for unit, pace in self.paces.items() if pace.answers]

    def _served(self, unit: Unit, pace: Pace) -> Served:
        before, limit = self.recall(unit), self.limits[unit]
        slots, tested = limit.slots, limit.tested
        if self.instance.limit is not None and before.slots > slots:
            slots, tested = before.slots, before.tested  # the operator's bound hides what lies above it
        return Served(
            unit=unit,
            digest=self.digest(unit),
            slots=slots,
            tested=tested,
            token_s=pace.token_s,
            load_s=pace.load_s,
        )

    def context_tokens(self, unit: Unit) -> int | None:
        """Context of the unit there; None if unknown.

        An Ollama server is asked once it holds the unit; an OpenAI-compatible one lists the context it serves.
        """
        known = self.model(unit.model) if self.backend == "openai" else None
        return self.contexts.get(unit) if known is None else known.context_tokens

    def blind(self, unit: Unit) -> bool:
        """Whether the unit's model is known to see no images."""
        known = self.model(unit.model)
        return known is not None and bool(known.capabilities) and "vision" not in known.capabilities

    def can_serve(self, unit: Unit) -> bool:
        """Whether it could be given work of the unit, perhaps after a load."""
        return self.phase is Phase.READY and unit not in self.refused and self.has(unit.model)

    def serves(self, unit: Unit) -> bool:
        """Whether work of the unit can start there now, room apart."""
        if not self.usable or not self.can_serve(unit):
            return False
        if self.single:
            return self.ready_for == unit
        return self.kind != "gateway" or unit in self.loaded
