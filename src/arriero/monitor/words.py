"""Words for numbers, notes and states: durations, counts, and a sentence for each code of ``Noted``."""

from __future__ import annotations

from arriero.core.outcome import Failure, FailureKind
from arriero.monitor.safe import safe_text
from arriero.monitor.snapshot import Note

NOTES = {
    "context_unknown": "does not tell its context length: prompts are not checked against it and answers end at 2,048 tokens",
    "generate_only": "serves only /api/generate: it is used, and rows with several messages end as unsupported",
    "truncation_possible": "is a gateway that may drop truncate: truncation cannot be excluded",
    "listing_missing": "does not list its models: none is reported missing, they are tried",
    "replies_in_one_piece": "answers come in one piece or too fast to be seen side by side: slots are learned from ends, not from first tokens",
    "digest_changed": "came back with another build of the model: answers from before and after are of two models",
    "digest_differs": "has another build of the model than the first instance that served it: answers are of two models",
    "empty_answer": "without a word",
    "late": "came after the request had ended and was dropped",
}
"""What each code says, after the name of the instance (or the number of answers for ``late`` and ``empty_answer``)."""

FAILURES = {
    FailureKind.UNREACHABLE: "the instance could not be reached",
    FailureKind.TIMEOUT: "no answer in time",
    FailureKind.OVERLOADED: "the server said for too long that it has too much to do",
    FailureKind.SERVER_ERROR: "the server failed",
    FailureKind.BAD_REPLY: "the reply was no whole answer",
    FailureKind.REJECTED: "the server refused the request",
    FailureKind.TOO_LONG: "prompt and answer do not fit the context",
    FailureKind.UNSUPPORTED: "the instance cannot do what the row asks for",
    FailureKind.MODEL_MISSING: "no instance has the model",
    FailureKind.UNAUTHORIZED: "the instance wants another key",
    FailureKind.REDIRECTED: "the instance points elsewhere, which is never followed",
    FailureKind.INVALID_OUTPUT: "the answer is not of the wanted form",
    FailureKind.LOST: "the worker that carried it died",
    FailureKind.POISON: "instances went down under it",
    FailureKind.CANCELLED: "cancelled by the user",
    FailureKind.EXPIRED: "its deadline was over",
}
"""What each kind means, where neither server nor system has said more."""

NAMED_INSTANCES = 3
"""More instances than these in one note are counted, not named."""


def note_words(note: Note) -> str:
    """One note as a sentence; a code without words is told as it is."""
    if note.code == "late":
        return f"{note.count:,} second answer{'s' if note.count > 1 else ''} {NOTES['late']}"
    if note.code == "empty_answer":
        whose = f" ({', '.join(safe_text(name) for name in note.instances[:NAMED_INSTANCES])})"
        return f"{note.count:,} answer{'s' if note.count > 1 else ''} {NOTES['empty_answer']}{whose}"
    words = NOTES.get(note.code, safe_text(note.code).replace("_", " "))
    if not note.instances:
        return f"an instance {words}" if note.code in NOTES else words
    named = ", ".join(safe_text(name) for name in note.instances[:NAMED_INSTANCES])
    rest = len(note.instances) - NAMED_INSTANCES
    return f"{named}{f' and {rest:,} more' if rest > 0 else ''}: {words}"


def failure_words(failure: Failure) -> str:
    """A failure as a sentence: ``timeout: no answer in time``; foreign text stands in it as it came."""
    return f"{failure.kind.value}: {failure.detail or FAILURES[failure.kind]}"


def duration_words(seconds: float) -> str:
    """A duration in two units at most: ``0.42 s``, ``42 s``, ``3 min 42 s``, ``1 h 12 min``, ``2 d 3 h``."""
    if seconds < 10:  # noqa: PLR2004 - below ten the fraction matters
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
    whole = round(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {smaller_name}"
    return f"{whole} s"


def short_duration(seconds: float) -> str:
    """The same without spaces, whole seconds: ``42s``, ``3m42s``, ``1h12m``, ``2d3h``."""
    whole = float(max(0, round(seconds)))
    text = f"{int(whole)} s" if whole < 60 else duration_words(whole)  # noqa: PLR2004 - a minute
    return text.replace("min", "m").replace(" ", "")


def number_words(value: float) -> str:
    """A count or a rate with three digits that matter: ``4,912``, ``83.1``, ``0.52``."""
    if value >= 100 or value == int(value):  # noqa: PLR2004 - three digits before the point are enough
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 request``, ``2,000 requests``; ``many`` where more of them are not called by adding an s."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
