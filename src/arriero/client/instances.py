"""Instances: whether the instances can serve a batch, which model is meant, and what to say if not."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import structs

from arriero.client.loop import run
from arriero.client.session import Session, state_word
from arriero.client.workers import announced_workers
from arriero.config.settings import InstanceConfig, Settings
from arriero.config.suggestion import did_you_mean
from arriero.core.events import Notice
from arriero.core.fleet import Fleet
from arriero.core.member import Member, Phase
from arriero.core.request import RUNNER_OPTIONS, Result
from arriero.errors import ConfigError, FleetError
from arriero.monitor.safe import safe_text

WAYS_OUT = (
    "start Ollama (ollama serve), name a fleet (-i URL or --fleet FILE), or use the demonstration model (--local)"
)

HINTS = {
    "unauthorized": "it refuses us: set api_key_env, or OLLAMA_ORIGINS and the host name behind a tunnel",
    "redirected": "it redirects, which is never followed: give the address it points to",
}
"""What the operator of an instance can do about a fault."""


UNPROVEN = "not proven"
"""The state of an instance that no listing has answered: only a generation can tell whether it serves."""


class Nowhere:
    """A sink for sessions that keep nothing."""

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Drop them."""

    def room(self) -> bool:
        """Always."""
        return True


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as ``fleet ps`` shows it."""

    name: str
    url: str
    backend: str
    kind: str
    version: str
    state: str
    reason: str
    models: tuple[str, ...] | None


class FleetView(msgspec.Struct, frozen=True, kw_only=True):
    """What the instances are and have."""

    instances: tuple[InstanceState, ...]

    @property
    def usable(self) -> bool:
        """Whether a batch would begin."""
        return any(one.state in ("ok", "serves a batch", UNPROVEN) for one in self.instances)

    def lines(self) -> list[str]:
        """A row an instance."""
        rows = [("INSTANCE", "URL", "SERVER", "STATE", "MODELS")]
        for one in self.instances:
            server = " ".join(word for word in (one.backend, one.version, "gateway" * (one.kind == "gateway")) if word)
            models = "not listed" if one.models is None else " ".join(one.models) or "none"
            state = f"{one.state}: {one.reason}" if one.reason else one.state
            rows.append((one.name, one.url, server if one.backend != "auto" else "-", state, models))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return [
            safe_text("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))
            for row in rows
        ]


def fleet_ps(settings: Settings) -> FleetView:
    """Ask every instance and say what came back."""
    workers = _announced(settings) if settings.engine == "celery" else ()
    direct = run(_view(structs.replace(settings, engine="asyncio"))).instances if settings.instances else ()
    return FleetView(instances=(*direct, *workers))


def _announced(settings: Settings) -> list[InstanceState]:
    """Instances of workers, as those announce them; nobody is asked, for a batch may be running."""
    return [
        InstanceState(
            name=f"{told.worker}/{instance.name}",
            url=instance.url,
            backend=instance.backend,
            kind=instance.kind,
            version="",
            state="serves a batch" if told.batch else "ok",
            reason="",
            models=None,
        )
        for told in announced_workers(settings)
        for instance in told.instances
    ]


async def _view(settings: Settings) -> FleetView:
    async with Session(settings, uuid.uuid4().hex[:12], settings.instances) as session:
        await session.drive({}, Nowhere(), after_turn=lambda: session.scheduler.settled)
        return fleet_view(session.scheduler.fleet)


def fleet_view(fleet: Fleet) -> FleetView:
    """What the instances of a fleet are and have, as far as they have told."""
    return FleetView(instances=tuple(_state(member) for member in fleet))


def require_usable(fleet: Fleet) -> None:
    """Refuse to begin with a fleet that cannot serve anything.

    Raises:
        FleetError: Each address with its reason, and the ways out.
    """
    if any(member.usable for member in fleet):
        return
    told = [f"  {member.instance.url}  {_reason(member)}" for member in fleet]
    raise FleetError("\n".join(["no usable instance", *told]), hint=WAYS_OUT)


def default_model(fleet: Fleet) -> str:
    """The model to use where neither row nor flag names one: the only one installed.

    Raises:
        ConfigError: If there are several, none, or the instances list nothing.
    """
    names = installed(fleet)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("no model is named, and the instances list none", hint="name one with -m MODEL")
    raise ConfigError(
        f"no model is named, and {len(names)} are installed: {safe_text(', '.join(names))}",
        hint="name one with -m MODEL",
    )


def require_model(fleet: Fleet, model: str) -> None:
    """Refuse to begin when every usable instance lists its models, and none has this one.

    Raises:
        FleetError: What each has, and what helps: the name that was meant, or the command that pulls the model.
    """
    members = [member for member in fleet if member.usable]
    if any(member.has(model) for member in members):
        return
    told = [f"  {member.instance.url}  has {_models(member.models or ())}" for member in members]
    message = "\n".join([f"no instance has the model {safe_text(model)}", *told])
    raise FleetError(message, hint=safe_text(_model_help(members, model, installed(fleet))))


def _model_help(members: Sequence[Member], model: str, there: Sequence[str]) -> str:
    """The installed name that was meant; else how the model gets there, where a server can be asked for that."""
    tagged = [name for name in there if name.startswith(f"{model}:")]
    near = f"did you mean {tagged[0]}?" if tagged else did_you_mean(model, there, quote="")
    pull = next(
        (f"OLLAMA_HOST={one.instance.url} ollama pull {model}" for one in members if one.backend == "ollama"), ""
    )
    if near:
        return f"{near} else: {pull}" if pull else near
    if pull:
        return pull
    return "leave out -m: there is only one" if len(there) == 1 else "name one that is there with -m"


async def with_only_model(settings: Settings, instances: tuple[InstanceConfig, ...]) -> Settings:
    """The settings with the only model there is, where neither flag nor journal names one.

    Rows may all name their own, so that several installed models are no mistake yet.

    Raises:
        FleetError: If no instance is usable.
        ConfigError: If rows cannot name a model and there is not exactly one.
    """
    async with Session(settings, "0" * 12, instances) as session:
        await session.discover(Nowhere())
        require_usable(session.scheduler.fleet)
        try:
            model = default_model(session.scheduler.fleet)
        except ConfigError:
            if settings.input_format == "txt":
                raise
            return settings
    return structs.replace(settings, models=(model,))


def installed(fleet: Fleet) -> list[str]:
    """Names of the models that usable instances list, each once."""
    names: dict[str, None] = {}
    for member in fleet:
        if member.usable:
            names.update(dict.fromkeys(member.models or ()))
    return list(names)


def describe(fleet: Fleet, options: Iterable[str] = ()) -> list[str]:
    """The fleet in a line an instance, for the start of a run; more than eight are counted.

    Args:
        fleet: As discovered.
        options: Names given with ``-O``; what an instance takes only at its own start is noted.
    """
    members = list(fleet)
    lines = [f"{'fleet':<11}{member.instance.url}   {_server(member)}" for member in members[:8]]
    if len(members) > len(lines):
        lines.append(f"{'':<11}and {len(members) - len(lines)} more")
    return [safe_text(line) for line in (*lines, *_not_taken(members, options))]


def _not_taken(members: Sequence[Member], options: Iterable[str]) -> list[str]:
    """A note if runner options of the user's reach some instances only."""
    names = ", ".join(name for name in options if name in RUNNER_OPTIONS)
    urls = [member.instance.url for member in members if member.usable and member.backend == "openai"]
    if not names or not urls:
        return []
    who = f"{urls[0]} takes" if len(urls) == 1 else f"{urls[0]} and {len(urls) - 1} more take"
    return [f"{'note':<11}{who} no {names}: a /v1 server is given that at its own start"]


def _server(member: Member) -> str:
    if not member.usable:
        return _reason(member)
    words = [member.backend, member.version, "gateway" if member.kind == "gateway" else ""]
    return " ".join(word for word in words if word)


def _reason(member: Member) -> str:
    if member.phase is Phase.JOINING and not member.reason:
        return "no answer yet"
    return fault_words(member.reason or state_word(member), member.detail)


def fault_words(reason: str, detail: str) -> str:
    """Why an instance is out of use, and what its operator can do: ``unauthorized: answered 401; it refuses us: …``."""
    words = f"{reason}: {detail}" if detail else reason
    return f"{words}; {HINTS[reason]}" if reason in HINTS else words


def _models(names: Iterable[str]) -> str:
    return safe_text(", ".join(names)) or "none"


def _state(member: Member) -> InstanceState:
    unproven = member.usable and not any(member.answers.values())
    return InstanceState(
        name=member.name,
        url=member.instance.url,
        backend=member.backend,
        kind=member.kind,
        version=member.version,
        state=UNPROVEN if unproven else state_word(member),
        reason="it lists nothing; a batch will try it" if unproven else "" if member.usable else _reason(member),
        models=None if member.models is None else tuple(member.models),
    )
