"""Discover: the questions that tell what an instance is, and what its answers mean."""

from __future__ import annotations

from msgspec import structs

from arriero.core.instance import BackendName
from arriero.core.member import Member, Phase
from arriero.core.outcome import Failure, FailureKind, Model, Observation, Outcome, Subject
from arriero.core.policies.health import Health
from arriero.core.request import CHAT, GENERATE, Attempt, Unit
from arriero.core.step import Step

NO_ANSWER = frozenset(
    {
        FailureKind.UNREACHABLE,
        FailureKind.TIMEOUT,
        FailureKind.OVERLOADED,
        FailureKind.UNAUTHORIZED,
        FailureKind.REDIRECTED,
        FailureKind.LOST,
        FailureKind.CANCELLED,
    }
)
"""Kinds that say nothing about the dialect: the question stays open and is asked again later."""


_NO_CHAT = frozenset({FailureKind.UNSUPPORTED, FailureKind.BAD_REPLY, FailureKind.SERVER_ERROR, FailureKind.REJECTED})
"""What a gateway may answer on a path that it does not know: a page, an error of any class, or that it knows no such path."""


def question(member: Member) -> tuple[BackendName, Step] | None:
    """The next thing to ask a joining instance.

    Args:
        member: The instance; its dialect may be unknown.

    Returns:
        The dialect to ask in and the step, or None when all that can be known is known.
    """
    for dialect, subject in _questions(member):
        if (dialect, subject) not in member.answers:
            return dialect, Step("discover", subject)
    return None


def answered(member: Member, attempt: Attempt, outcome: Outcome) -> bool:
    """Take in the answer to a question.

    Args:
        member: Who was asked.
        attempt: The ``discover`` attempt.
        outcome: What came of it.

    Returns:
        False if there was no answer (unreachable, hung, refused): the instance cannot be judged now.
    """
    if isinstance(outcome, Failure) and outcome.kind in NO_ANSWER:
        return False
    key = (attempt.backend, attempt.subject)
    member.answers[key] = isinstance(outcome, Observation)
    if isinstance(outcome, Observation):
        _learn(member, attempt.backend, outcome)
    elif member.answers.get(("ollama", "version")) is False and member.answers.get(("openai", "models")) is False:
        # It lists nothing in any dialect, yet it answers: a gateway that may serve nothing but generations.
        member.backend = "ollama"
    if question(member) is None:
        _settle(member)
    return True


def told(member: Member, attempt: Attempt, outcome: Outcome) -> None:
    """Take in what the server says of the unit it has just loaded; a server that does not say leaves it unknown.

    Args:
        member: Who was asked.
        attempt: The ``discover`` attempt, for ``resident`` or ``details``.
        outcome: What came of it.

    Source:
        Ollama v0.24.0 and v0.33.0: two names of one model share a process, which is listed by the name that loaded it.
    """
    unit = attempt.unit
    if unit is None or not isinstance(outcome, Observation):
        return
    for model in _of(member, unit, outcome):
        if attempt.subject == "resident" and model.context_tokens:
            member.contexts[unit] = model.context_tokens
        elif attempt.subject == "details":
            _detail(member, model)


def shows(member: Member, unit: Unit, outcome: Outcome) -> bool | None:
    """Whether a listing of what is resident shows the unit's model; None if there was no listing."""
    return bool(_of(member, unit, outcome)) if isinstance(outcome, Observation) else None


def tries_generate(member: Member, attempt: Attempt, kind: FailureKind) -> bool:
    """Whether a gateway is asked on ``/api/generate`` next: some know no other path, and say so in many ways.

    If that does no better, the failure stands, and the next probe begins with ``/api/chat`` again.
    """
    if member.on_trial:
        member.on_trial, member.endpoint = False, ""
        return False
    member.on_trial = kind in _NO_CHAT and not member.endpoint and attempt.endpoint in ("", CHAT)
    if member.on_trial:
        member.endpoint = GENERATE
    return member.on_trial


def _of(member: Member, unit: Unit, seen: Observation) -> list[Model]:
    """What a listing says of the unit's model, by its names or by its digest."""
    names, digest = (unit.model, f"{unit.model}:latest"), member.digest(unit)
    return [model for model in seen.models if model.name in names or (digest and model.digest == digest)]


def _detail(member: Member, told: Model) -> None:
    """A listing has the digest, the details have what the model can."""
    known = member.model(told.name)
    if member.models is not None and known is not None:
        capabilities = told.capabilities or known.capabilities
        context_tokens = told.context_tokens or known.context_tokens
        member.models[known.name] = structs.replace(known, capabilities=capabilities, context_tokens=context_tokens)


def _questions(member: Member) -> tuple[tuple[BackendName, Subject], ...]:
    if member.backend == "ollama":
        return ("ollama", "version"), ("ollama", "models")
    if member.backend == "openai":
        return (("openai", "models"),)
    return ("ollama", "version"), ("openai", "models")


def _learn(member: Member, dialect: BackendName, seen: Observation) -> None:
    member.rtt_s = seen.latency_s if member.rtt_s is None else min(member.rtt_s, seen.latency_s)
    member.backend = dialect
    if seen.subject == "version":
        member.version = seen.version
    elif seen.subject == "models":
        member.models = {model.name: model for model in seen.models}


def _settle(member: Member) -> None:
    """All questions are answered: a server that hides others lists less than a server does."""
    if member.kind == "auto":
        lists_all = all(member.answers.get((member.backend, subject)) for _, subject in _questions(member))
        member.kind = "gateway" if member.backend == "ollama" and not lists_all else "server"
    member.health = Health(gateway=member.kind == "gateway")
    member.phase = Phase.READY
    member.reason = member.detail = member.fault = ""
