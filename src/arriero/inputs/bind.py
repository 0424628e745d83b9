"""Binder: a row and the user's settings to a Request, or to the failure that ends it unsent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Self

from arriero.config.settings import Settings
from arriero.core.outcome import Failure, FailureKind
from arriero.core.policies.models import one
from arriero.core.request import CHAT, EMBED, Content, Message, Request, Unit
from arriero.errors import ConfigError
from arriero.inputs.options import BoundOptions, bound_options
from arriero.inputs.row import BadLineError, BadRow, Row
from arriero.inputs.template import Template

UNITS_KEPT_MAX = 1024
FAMILY_WORDS = 3
FAMILY_CHARS = 48


class Binder:
    """Binds rows one at a time; the row's own settings go before the user's.

    Attributes:
        template: Makes the prompt from the row's fields; None: the row's prompt as it is.
        system: For rows without their own.
        model: For rows without their own; ``""`` where there is none.
        options: The user's options as given.
        bound: The same, sorted by who reads them.
        endpoint: For rows without their own.
        think: For rows without their own.
        notes: Sentences the user should hear once.
    """

    def __init__(
        self,
        *,
        template: Template | None = None,
        system: str | None = None,
        model: str = "",
        options: Mapping[str, object] | None = None,
        bound: BoundOptions | None = None,
        endpoint: str = CHAT,
        think: bool | str | None = None,
    ) -> None:
        self.template = template
        self.system = system
        self.model = model
        self.options = options or {}
        self.bound = bound or BoundOptions()
        self.endpoint = endpoint
        self.think = think
        self.notes: list[str] = []
        self._family = ""
        self._units: dict[tuple[object, ...], Unit] = {}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make a binder from checked settings.

        Raises:
            ConfigError: If the template or an option makes no sense.
        """
        template = Template.parse(settings.prompt) if settings.prompt is not None else None
        try:
            bound = bound_options(settings.options)
        except BadLineError as error:
            raise ConfigError(f"-O: {error.reason.removeprefix('options: ')}") from error
        binder = cls(
            template=template,
            system=settings.system,
            model=settings.models[0] if settings.models else "",
            options=settings.options,
            bound=bound,
            endpoint=settings.endpoint or CHAT,
            think=settings.think if settings.think is not None else bound.think,
        )
        binder.note_rounding(bound)
        return binder

    def request(
        self, row: Row | BadRow, *, batch: int, round_number: int = 0, attempts_used: int = 0
    ) -> Request | Failure:
        """Bind a row.

        Args:
            row: The row; a bad one is always a failure.
            batch: The batch it belongs to.
            round_number: 0 for the first pass.
            attempts_used: Attempts charged in this round before a resume.

        Returns:
            The request, or the failure that ends it without being sent. Never raises for what a row holds.
        """
        if isinstance(row, BadRow):
            return row.failure
        if row.refusal is not None:
            return row.refusal
        try:
            prompt = self._prompt(row)
            bound = self._bound(row)
        except BadLineError as error:
            return Failure(kind=FailureKind.REJECTED, detail=f"line {row.line}: {error.reason}")
        endpoint = row.endpoint or self.endpoint
        if endpoint == EMBED and row.messages:
            return Failure(kind=FailureKind.UNSUPPORTED, detail="messages cannot be sent to /api/embed")
        system = self._system(row)
        chars = size_chars(prompt, system, row.messages)
        return Request(
            batch=batch,
            position=row.position,
            line=row.line,
            id=row.id,
            content=Content(
                prompt=prompt,
                messages=row.messages,
                system=system,
                images=row.images,
                format=row.format,
                options=bound.sampling,
                think=bound.think if row.options and "think" in row.options else self.think,
                endpoint=endpoint,
            ),
            unit=self._unit(row.model, bound),
            row_hash=row.hash,
            size_chars=chars,
            size_bytes=max(len(row.raw), chars),
            max_tokens=_max_tokens(row.max_tokens, bound.max_tokens),
            timeout_s=row.timeout_s,
            priority=row.priority,
            family=self._family_of(row, prompt),
            needs_vision=bool(row.images) or any(turn.images for turn in row.messages),
            round=round_number,
            attempts_used=attempts_used,
        )

    def unsent(self, row: Row | BadRow, *, batch: int, round_number: int = 0) -> Request:
        """The request of a result that ends a row without being sent: its place and hash, no content."""
        model = row.model if isinstance(row, Row) else None
        return Request(
            batch=batch,
            position=row.position,
            line=row.line,
            id=row.id,
            content=Content(),
            unit=self._unit(model, self.bound),
            row_hash=row.hash,
            round=round_number,
        )

    def problem(self, row: Row) -> BadLineError | None:
        """Why a well-formed row cannot be bound with these settings: a bad line for ``--on-bad-line``."""
        if self.template is None and row.options is None:
            return None
        try:
            self._prompt(row)
            self._bound(row)
        except BadLineError as error:
            return error
        return None

    def note_rounding(self, bound: BoundOptions) -> None:
        """Say once that ``num_ctx`` was rounded up."""
        if bound.rounded and not self.notes:
            before, after = bound.rounded
            self.notes.append(f"num_ctx {before} is rounded up to {after}: servers load multiples of 256")

    def _prompt(self, row: Row) -> str:
        if self.template is None:
            return row.prompt or ""
        prompt = self.template.render(row.fields)
        if not prompt.strip():
            raise BadLineError("prompt is empty")
        return prompt

    def _bound(self, row: Row) -> BoundOptions:
        if not row.options:
            return self.bound
        bound = bound_options({**self.options, **row.options})
        self.note_rounding(bound)
        return bound

    def _system(self, row: Row) -> str | None:
        if row.system is not None:
            return row.system or None  # an empty one says: none for this row
        if row.messages and row.messages[0].role == "system":
            return None
        return self.system

    def _unit(self, model: str | None, bound: BoundOptions) -> Unit:
        """One object for equal units, so that the window does not hold thousands of copies."""
        key = (model, self.model, bound.runner)
        unit = self._units.get(key)
        if unit is None:
            if len(self._units) >= UNITS_KEPT_MAX:
                self._units.clear()
            unit = self._units[key] = one(model or "", self.model, bound.runner)
        return unit

    def _family_of(self, row: Row, prompt: str) -> str:
        """A digest of what rows alike share, so that it may be kept: the template; else system prompt and first words."""
        if self.template is not None:
            self._family = self._family or "t" + self.template.digest
            return self._family
        words = " ".join((prompt or row.messages[-1].content)[: 2 * FAMILY_CHARS].lower().split()[:FAMILY_WORDS])
        system = self.system if row.system is None else row.system
        return short_hash(f"{system or ''}\n{words[:FAMILY_CHARS]}")


def short_hash(text: str) -> str:
    """8 hex characters that name a text without telling it."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def size_chars(prompt: str, system: str | None, messages: tuple[Message, ...]) -> int:
    """Characters of everything the model reads."""
    return len(prompt) + len(system or "") + sum(len(turn.content) for turn in messages)


def _max_tokens(own: int | None, by_options: int | None) -> int | None:
    """The row's own bound, else the options'; a negative one takes the bound away."""
    if own is None:
        return by_options
    return own if own > 0 else None
