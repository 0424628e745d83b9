"""Server: one simulated inference server: residency, its queue, its slots, and how it answers."""

from __future__ import annotations

from collections import Counter, deque
from random import Random

from msgspec import structs

from arriero.core.outcome import Failure, FailureKind, Model, Observation, Success, Timing, Usage
from arriero.core.request import Attempt, Unit
from arriero.simulator.exchange import Exchange
from arriero.simulator.slots import Slots
from arriero.simulator.spec import ServerSpec, answer
from arriero.simulator.timeline import Alarm, Timeline
from arriero.simulator.troubles import Troubles

MAX_QUEUE = 512
"""Requests that may wait for a load (Ollama's default); those for a loaded unit wait without bound."""


class Server:
    """An Ollama or OpenAI-compatible server in virtual time.

    One unit is resident; another one is loaded when the requests of the first have drained. A slot is given first come first
    served. All of it as seen on Ollama 0.24 and 0.33.

    Args:
        spec: What it is.
        timeline: Virtual time.
        random: Chance of its errors.
        struck: Counts what requests have met.

    Attributes:
        received: Every attempt that has come here.
        answered: Those that were answered as asked, whether or not anybody still listened.
    """

    def __init__(self, spec: ServerSpec, timeline: Timeline, random: Random, struck: Counter[str]) -> None:
        self.spec = spec
        self.troubles = Troubles(random, struck)
        self.struck = struck
        self._timeline = timeline
        self._slots = Slots(spec, timeline, self._first, self._done)
        self._resident: Unit | None = None
        self._waiting: deque[Exchange] = deque()
        self._pending: deque[Exchange] = deque()
        self._load: Alarm | None = None
        self._loading: Exchange | None = None
        self._load_left_s = 0.0
        self.received: list[Attempt] = []
        self.answered: list[Attempt] = []

    @property
    def holds(self) -> int:
        """Exchanges that are here in any way."""
        return len(self._slots) + len(self._waiting) + len(self._pending)

    def receive(self, exchange: Exchange) -> None:
        """A request has arrived."""
        exchange.arrived_at = self._timeline.now
        self.received.append(exchange.attempt)
        if exchange.gone:
            return
        refusal = self.troubles.refusal(exchange) or self._wrong(exchange)
        if refusal is not None:
            exchange.end(refusal)
        elif exchange.attempt.purpose == "discover":
            self._tell(exchange)
        elif exchange.attempt.purpose == "unload":
            if self._resident == exchange.unit:
                self._resident = None
            exchange.end(self._success(exchange, "unload"))
        else:
            self._admit(exchange)

    def hang_up(self, exchange: Exchange) -> None:
        """The client has closed the connection."""
        exchange.gone = True
        if exchange in self._slots:
            self._slots.leave(exchange)
        elif exchange in self._waiting:
            self._waiting.remove(exchange)
        elif exchange in self._pending:
            self._pending.remove(exchange)
            if self._loading is exchange:
                self.struck["load given up"] += 1
                self._stop_load()
        self._next()

    # What befalls it.

    def crash(self) -> None:
        """The model process dies under everything that runs or waits for it."""
        self.struck["crash"] += bool(len(self._slots) + len(self._waiting))
        self._resident = None
        victims = [*self._slots.clear(), *self._waiting]
        self._waiting.clear()
        for exchange in victims:
            self._fail(exchange, FailureKind.SERVER_ERROR, "the model process died", crashed=True)
        self._next()

    def go_down(self) -> None:
        """The whole server dies; connections are reset, then refused."""
        self.troubles.down = True
        self._resident = None
        self._stop_load()
        victims = [*self._slots.clear(), *self._waiting, *self._pending]
        self._waiting.clear()
        self._pending.clear()
        for exchange in victims:
            self._fail(exchange, FailureKind.UNREACHABLE, "connection reset", crashed=True)

    def come_up(self) -> None:
        """It is there again, with nothing resident."""
        self.troubles.down = False

    def upgrade(self) -> None:
        """It is there again as another version, with other places."""
        self.struck["upgrade"] += 1
        slots = self.spec.slots % 8 + 1
        self.spec = structs.replace(self.spec, old=not self.spec.old, slots=slots)
        self._slots.become(self.spec)
        self.come_up()

    def remove_models(self) -> None:
        """Its operator removes the models; what runs ends by itself."""
        self.struck["model removed"] += self.holds > 0
        self.spec = structs.replace(self.spec, models=("phi3:mini",))

    def stop(self) -> None:
        """The model process stands still: no token, no end, no error."""
        self.troubles.stopped = True
        self.struck["hang"] += self.holds > 0
        self._slots.pace(0.0)
        if self._load is not None:
            self._load_left_s = self._load.at - self._timeline.now
            self._load.off()
            self._load = None
        for exchange in self._slots:
            exchange.silent(silent=True)

    def go_on(self, factor: float = 1.0) -> None:
        """It runs (again), at this share of its speed."""
        self.troubles.stopped = False
        self._slots.pace(factor)
        if self._loading is not None and self._load is None:
            self._load = self._timeline.at(self._timeline.now + self._load_left_s, self._loaded)
        for exchange in self._slots:
            exchange.silent(silent=False)
        self._next()

    def crowd(self, foreign: int) -> None:
        """Somebody else holds so many slots from now on."""
        self.struck["foreign"] += foreign > 0 and self.holds > 0
        self._slots.crowd(foreign)
        self._next()

    def evict(self) -> None:
        """Somebody else's model takes the place of ours once ours has drained."""
        if not len(self._slots) and self._resident is not None:
            self.struck["evict"] += 1
            self._resident = None

    # How it serves.

    def _wrong(self, exchange: Exchange) -> Failure | None:
        """What is wrong with the request itself, here."""
        if exchange.attempt.purpose == "discover":
            return None
        if exchange.unit.model not in self.spec.models:
            return Failure(kind=FailureKind.MODEL_MISSING, status=404)
        if self.spec.unloadable:
            self.struck["unloadable"] += 1
            return Failure(kind=FailureKind.UNSUPPORTED, status=400)
        if exchange.truth.prompt_tokens > self.spec.context_of(exchange.unit):
            counted = exchange.truth.prompt_tokens
            return Failure(kind=FailureKind.TOO_LONG, status=400, n_prompt_tokens=counted)
        if exchange.truth.stubborn and exchange.attempt.purpose == "request":
            self.struck["stubborn"] += 1
            return Failure(kind=FailureKind.SERVER_ERROR, status=500)
        return self._wants_less(exchange) or self.troubles.flaw(exchange)

    def _wants_less(self, exchange: Exchange) -> Failure | None:
        """An OpenAI-compatible server refuses an answer that the context may not hold, and counts the prompt (vLLM)."""
        prompt, room = exchange.truth.prompt_tokens, self.spec.context_of(exchange.unit)
        if self.spec.dialect != "openai" or prompt + exchange.attempt.max_tokens <= room:
            return None
        self.struck["less wanted"] += 1
        return Failure(kind=FailureKind.TOO_LONG, status=400, n_prompt_tokens=prompt)

    def _admit(self, exchange: Exchange) -> None:
        if self.spec.dialect == "openai" or (exchange.unit == self._resident and self._loading is None):
            self._enter(exchange)
        elif len(self._pending) >= MAX_QUEUE:
            exchange.end(Failure(kind=FailureKind.OVERLOADED, status=503))
        else:
            self._pending.append(exchange)
        self._next()

    def _enter(self, exchange: Exchange) -> None:
        if exchange.attempt.purpose == "preload":
            exchange.end(self._success(exchange, "load"))
        else:
            self._waiting.append(exchange)

    def _next(self) -> None:
        """Give out what is free; load what is asked for once everything else has drained."""
        if self.troubles.stopped or self.troubles.down:
            return
        while self._waiting and self._slots.free > 0:
            exchange = self._waiting.popleft()
            if exchange.truth.poison and exchange.attempt.purpose == "request":
                self.struck["poison"] += 1
                self._waiting.appendleft(exchange)
                self.crash()
                return
            self._slots.take(exchange)
        if self._pending and self._loading is None and not self._waiting and not len(self._slots):
            self._loading = self._pending[0]
            self._resident = None
            self._load = self._timeline.at(self._timeline.now + self.spec.load_s, self._loaded)

    def _loaded(self) -> None:
        """A load is done; all that waited for this unit go on."""
        first, self._loading, self._load = self._loading, None, None
        if first is None:
            return
        mine = [exchange for exchange in self._pending if exchange.unit == first.unit]
        self._pending = deque(exchange for exchange in self._pending if exchange.unit != first.unit)
        if self.troubles.load_fails():
            for exchange in mine:
                self._fail(exchange, FailureKind.SERVER_ERROR, "the load failed")
        else:
            self._resident = first.unit
            for exchange in mine:
                exchange.load_s = self._timeline.now - exchange.arrived_at
                self._enter(exchange)
        self._next()

    def _stop_load(self) -> None:
        if self._load is not None:
            self._load.off()
        self._load = self._loading = None

    def _first(self, exchange: Exchange) -> None:
        exchange.began(self._timeline.now)

    def _done(self, exchange: Exchange) -> None:
        if not exchange.gone:
            whole = exchange.output_tokens >= exchange.truth.output_tokens
            over = exchange.truth.prompt_tokens + exchange.output_tokens > self.spec.context_of(exchange.unit)
            self.struck["overrun"] += over
            self.answered.append(exchange.attempt)
            exchange.end(self.troubles.figures(self._success(exchange, "stop" if whole else "length")))
        self._next()

    def _fail(self, exchange: Exchange, kind: FailureKind, detail: str, *, crashed: bool = False) -> None:
        exchange.end(Failure(kind=kind, detail=detail, crashed=crashed, began=exchange.first_at is not None))

    def _success(self, exchange: Exchange, reason: str) -> Success:
        """What it sends; the client's own times are added by the engine."""
        now, request = self._timeline.now, exchange.attempt.request
        timing = Timing(latency_s=0.0)
        if self.spec.timings and not exchange.masked:
            decode_s = 0.0 if exchange.first_at is None else now - exchange.first_at
            timing = Timing(
                latency_s=0.0,
                load_s=exchange.load_s,
                prefill_s=exchange.prefill_s,
                decode_s=decode_s or None,  # Ollama leaves a field of value 0 out
                total_s=now - exchange.arrived_at,
            )
        generated = reason in ("stop", "length")
        return Success(
            text=answer(request) if request is not None else "",
            finish_reason=reason,
            usage=Usage(exchange.truth.prompt_tokens, exchange.output_tokens) if generated else Usage(),
            timing=timing,
            model=exchange.unit.model,
        )

    def _tell(self, exchange: Exchange) -> None:
        """Answer a listing."""
        subject, spec = exchange.attempt.subject, self.spec
        foreign = exchange.attempt.backend != spec.dialect
        if foreign or (spec.dialect == "openai" and subject != "models"):
            exchange.end(Failure(kind=FailureKind.REJECTED, status=404))
            return
        models: tuple[Model, ...] = ()
        if subject == "models":
            context = spec.context_tokens if spec.dialect == "openai" else None
            models = tuple(Model(name=name, digest=f"sha256:{name}", context_tokens=context) for name in spec.models)
        elif subject == "resident" and self._resident is not None:
            context = spec.context_of(self._resident)
            models = (Model(name=self._resident.model, context_tokens=context),)
        elif subject == "details":
            models = (Model(name=exchange.unit.model, capabilities=spec.capabilities, context_tokens=32768),)
        version = ("0.24.0" if spec.old else "0.33.0") if subject == "version" else ""
        exchange.end(Observation(subject=subject, version=version, models=models))
