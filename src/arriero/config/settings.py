"""Settings: everything one batch needs to know, checked and free of secrets."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from arriero.core.instance import Concurrency, Instance

OutputFormat: TypeAlias = Literal["json", "jsonl", "openai"]
InputFormat: TypeAlias = Literal["txt", "jsonl"]
EngineName: TypeAlias = Literal["asyncio", "threads", "celery"]
Display: TypeAlias = Literal["auto", "line", "log", "json", "none"]


class InstanceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with what is needed to reach it.

    Attributes:
        instance: What the core knows of it.
        api_key_env: Environment variable that holds its bearer token; ``""`` for none. Never the token itself.
        headers_env: Further headers: name to the environment variable that holds the value.
        ca_file: Own certificate authority; ``""``: the system's.
        insecure: TLS is not verified; said loudly.
    """

    instance: Instance
    api_key_env: str = ""
    headers_env: dict[str, str] = {}
    ca_file: str = ""
    insecure: bool = False


class TimeoutRule(msgspec.Struct, frozen=True):
    """``--timeout``: ``predicted`` (default), ``fixed`` (``base_s``) or ``length`` (``base_s + per_char_s * chars``)."""

    kind: Literal["predicted", "fixed", "length"] = "predicted"
    base_s: float = 0.0
    per_char_s: float = 0.0


class ErrorBudget(msgspec.Struct, frozen=True):
    """``--max-errors``: stop when more requests failed for good; a fraction of those finished, or a number."""

    fraction: float | None = None
    count: int | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One batch, as the flags, the environment and the files describe it together.

    Attributes:
        input: Path of the input, ``-`` for standard input.
        input_format: By suffix unless given.
        output: Path of the output, ``-`` for standard output.
        output_format: By suffix unless given.
        unordered: jsonl is appended as results come.
        journal: Path of the journal; ``OUTPUT.journal`` unless given.
        models: Model names by ``-m``; empty: the row's, else the only one installed.
        system: System prompt for every row without its own.
        prompt: Template with ``{field}`` places; None: the row's prompt as it is.
        options: ``-O``: sampling and runner options by their Ollama names; ``num_predict`` too.
        endpoint: ``--endpoint``: Ollama path for every row without its own; ``""`` for ``/api/chat``.
        think: ``-O think=…``; None: off unless the row says otherwise.
        instances: The fleet; empty only with ``local``.
        local: Serve with the bundled demonstration model.
        concurrency: ``-c``.
        retries: Attempts after the first.
        timeout: ``--timeout``.
        max_errors: ``--max-errors``.
        max_wait_s: ``--max-wait``.
        first: Only the first N rows.
        on_bad_line: ``stop`` or ``fail``.
        force: Rename an existing output and journal aside.
        display: ``--display``.
        engine: ``--engine``.
        function: Name of the Python function that answers; ``""``: servers do.
        broker: Address of the broker of the Celery engine; ``""`` for none. Kept without its password.
        origins: Setting name to where its value came from, for ``config show``.
        warnings: Sentences about what was understood but is probably not meant; for standard error.
    """

    input: str
    input_format: InputFormat
    output: str
    output_format: OutputFormat
    unordered: bool = False
    journal: str
    models: tuple[str, ...] = ()
    system: str | None = None
    prompt: str | None = None
    options: dict[str, object] = {}
    endpoint: str = ""
    think: bool | str | None = None
    instances: tuple[InstanceConfig, ...] = ()
    local: bool = False
    concurrency: Concurrency = Concurrency()
    retries: int = 4
    timeout: TimeoutRule = TimeoutRule()
    max_errors: ErrorBudget | None = None
    max_wait_s: float = 3600.0
    first: int | None = None
    on_bad_line: Literal["stop", "fail"] = "stop"
    force: bool = False
    display: Display = "auto"
    engine: EngineName = "asyncio"
    function: str = ""
    broker: str = ""
    origins: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
