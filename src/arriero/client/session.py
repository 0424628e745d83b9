"""Session: one fleet, one scheduler, one engine, wired; discovered, driven and closed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Self

from arriero.backends.dialects import backend
from arriero.backends.wire import Backend
from arriero.client.memory import Memory
from arriero.client.workers import Workers, celery_engine
from arriero.config.settings import InstanceConfig, Settings
from arriero.core.events import Event, InstanceJoined, Notice
from arriero.core.instance import Instance
from arriero.core.member import Member, Phase
from arriero.core.policies.pick import LongestFirst
from arriero.core.policies.predict import Lengths
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.queue import Rank
from arriero.core.request import BatchId
from arriero.core.scheduler import Scheduler
from arriero.drive import Feed, Sink, drive
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.function import Function
from arriero.engines.threads import ThreadsEngine
from arriero.errors import ConfigError
from arriero.monitor.tally import InstanceView

SETTLE_S = 3.0
"""How long the start waits for instances that are slow to tell what they are, once one can serve."""


class Session:
    """Everything between a batch and its instances.

    Args:
        settings: Checked settings.
        name: 12 hex digits; goes into the header of every attempt.
        instances: The fleet with what is needed to reach it.
        rank: Which waiting requests go first.
        function: Answers in the place of the fleet's only instance; None: servers do.
        memory: What earlier batches learned; None: nothing is recalled and nothing kept.
        batch: Known by this on a broker; ``""``: by the journal's place, so that the same command goes on at once.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        instances: tuple[InstanceConfig, ...],
        rank: Callable[[Lengths], Rank] = LongestFirst,
        memory: Memory | None = None,
        function: Function | None = None,
        batch: str = "",
    ) -> None:
        rule = settings.timeout
        self.settings = settings
        self.instances = instances
        self._memory = memory or Memory(None)
        self.scheduler = Scheduler(
            concurrency=settings.concurrency,
            timeout=TimeoutPolicy(rule.kind, rule.base_s, rule.per_char_s),
            random=Random(name),
            rank=rank,
        )
        self._workers: Workers | None = None
        self.engine: AsyncioEngine | ThreadsEngine
        if settings.engine == "celery":
            book, dialects = _reach(instances)
            self.engine, self._workers = celery_engine(settings, book, dialects, name, batch, self._memory)
        else:
            self.engine = _engine(settings, name, instances, function)
        self._observers: list[Callable[[Event | Notice, float], None]] = []
        self._settled_by = 0.0

    async def __aenter__(self) -> Self:
        """Open the engine and let the instances join."""
        await self.engine.__aenter__()
        now = self.engine.now()
        instances = [config.instance for config in self.instances]
        for instance, remembered in zip(instances, self._memory.instances(instances), strict=True):
            self.scheduler.tell(InstanceJoined(instance, remembered), now)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the engine; what still runs is cancelled, what was learned is kept."""
        await self.engine.aclose()
        self.keep()

    def hear(self, observe: Callable[[Event | Notice, float], None]) -> None:
        """``observe`` hears all events and notices from now on."""
        self._observers.append(observe)

    async def discover(self, sink: Sink) -> None:
        """Ask every instance what it is; those that are slow are waited for only while none can serve."""
        self._settled_by = self.engine.now() + SETTLE_S
        await self.drive({}, sink, after_turn=self._known_enough)
        if self._workers is not None and not self.scheduler.draining and not len(self.scheduler.fleet):
            raise self._workers.missing()
        self._memory.recall(self.scheduler.fleet, self.scheduler.lengths)

    async def drive(self, feeds: Mapping[BatchId, Feed], sink: Sink, *, after_turn: Callable[[], bool]) -> None:
        """Run the loop until ``after_turn`` says that it was the last one."""
        await drive(self.scheduler, self.engine, feeds, sink, after_turn=after_turn, observe=self._observe)

    def tell(self, event: Event) -> None:
        """Tell the scheduler, and whoever hears, before the next plan is made."""
        now = self.engine.now()
        self.scheduler.tell(event, now)
        self._observe(event, now)

    def keep(self) -> None:
        """Hand what was learned so far to later batches, should this one be killed."""
        self._memory.keep(self.scheduler.fleet, self.scheduler.lengths)

    def view(self) -> list[InstanceView]:
        """The fleet as a surface shows it."""
        now = self.engine.now()
        return [self._view(member, now) for member in tuple(self.scheduler.fleet)]

    def _view(self, member: Member, now: float) -> InstanceView:
        unit = member.ready_for or member.unit or next(iter(member.limits), None)
        limit = member.limits.get(unit) if unit is not None else None
        allowed = None if limit is None else limit.limit(now)
        learned = self.settings.concurrency.learned or member.instance.limit is not None
        return InstanceView(
            name=member.name,
            url=member.instance.url,
            state=state_word(member),
            unit=unit,
            in_flight=member.in_flight,
            limit=allowed if learned else None,
            slots=None if limit is None else limit.slots,
            slots_tested=limit is not None and limit.tested,
        )

    def _known_enough(self) -> bool:
        scheduler = self.scheduler
        if self._workers is not None and self._workers.awaited and not scheduler.draining:
            return False
        if scheduler.settled or scheduler.draining:
            return True
        return self.engine.now() >= self._settled_by and scheduler.fleet.usable > 0

    def _observe(self, event: Event | Notice, now: float) -> None:
        for observe in self._observers:
            observe(event, now)


def _reach(instances: tuple[InstanceConfig, ...]) -> tuple[dict[str, Address], dict[str, Backend]]:
    """The address of each instance by its name, and the dialects by theirs."""
    book = {config.instance.name: address(config) for config in instances}
    return book, {dialect: backend(dialect) for dialect in ("ollama", "openai")}


def _engine(
    settings: Settings, name: str, instances: tuple[InstanceConfig, ...], function: Function | None
) -> AsyncioEngine | ThreadsEngine:
    if function is not None:
        functions = {config.instance.name: function for config in instances}
        return ThreadsEngine({}, _reach(())[1], name, functions=functions)
    book, dialects = _reach(instances)
    return (ThreadsEngine if settings.engine == "threads" else AsyncioEngine)(book, dialects, name)


def state_word(member: Member) -> str:
    """One word for how an instance stands."""
    if member.health.ejected:
        return "ejected"
    if member.phase is Phase.READY and member.single and member.unit is not None and member.ready_for is None:
        return "loading"
    return "ok" if member.phase is Phase.READY else member.phase.value


def address(config: InstanceConfig, environ: Mapping[str, str] = os.environ) -> Address:
    """How to reach an instance, with the secrets that its variables hold.

    Raises:
        ConfigError: If a variable is not set.
    """
    headers = {name: _secret(config.instance, variable, environ) for name, variable in config.headers_env.items()}
    if config.api_key_env:
        headers["Authorization"] = f"Bearer {_secret(config.instance, config.api_key_env, environ)}"
    return Address(config.instance.url, headers, config.ca_file, config.insecure)


def _secret(instance: Instance, variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "")
    if not value:
        raise ConfigError(
            f"instance {instance.name} needs the environment variable {variable}, which is not set",
            hint=f"export {variable}=…",
        )
    return value
