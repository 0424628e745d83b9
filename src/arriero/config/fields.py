"""Fields: every setting of ``run``: its name in a file, its flag, and how a given value becomes its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from arriero.config import given as read
from arriero.config.address import OLLAMA_ENDPOINTS
from arriero.config.bounds import error_budget, timeout_rule
from arriero.config.broker import broker_url
from arriero.config.concurrency import concurrency
from arriero.config.given import NOT_BUILT, Given
from arriero.config.settings import ErrorBudget, TimeoutRule
from arriero.core.instance import Concurrency
from arriero.errors import ConfigError

THINK_LEVELS = ("low", "medium", "high", "max")
"""Depths of thinking that Ollama takes besides true and false."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        name: Its key in ``[defaults]``, in the mapping of flags, and after ``ARRIERO_`` in capitals.
        flag: Its flag.
        parse: A given value to the setting's own; raises ConfigError without saying where.
        attribute: Its attribute in ``Settings``; ``""`` where it only decides about another one.
        in_file: Whether a file or the environment may say it; False for what belongs to one call.
    """

    name: str
    flag: str
    parse: Callable[[Given], object]
    attribute: str = ""
    in_file: bool = True


def _choice(known: tuple[str, ...], later: tuple[str, ...], given: Given) -> str:
    word = read.text(given)
    if word in later:
        raise ConfigError(f"{word}: {NOT_BUILT}")
    if word not in known:
        raise ConfigError(f"`{word}` is none of {', '.join(known)}")
    return word


def _models(given: Given) -> tuple[str, ...]:
    value = given.value
    names = tuple(str(item) for item in value) if isinstance(value, list | tuple) else (read.text(given),)
    if len(set(names)) > 1:
        raise ConfigError(f"more than one model: {NOT_BUILT}", hint="name the model in each row, or run one batch each")
    if not all(name.strip() for name in names):
        raise ConfigError("a model's name is wanted")
    return names[:1]


def _think(given: Given) -> bool | str:
    if isinstance(given.value, str) and given.value.strip().lower() in THINK_LEVELS:
        return given.value.strip().lower()
    try:
        return read.boolean(given)
    except ConfigError:
        raise ConfigError(f"`{given.value}` is none of true, false, {', '.join(THINK_LEVELS)}") from None


def _endpoint(given: Given) -> str:
    path = read.text(given)
    if path not in OLLAMA_ENDPOINTS:
        raise ConfigError(f"`{path}` is no endpoint", hint=f"known: {', '.join(OLLAMA_ENDPOINTS)}")
    return path


def _concurrency(given: Given) -> Concurrency:
    return concurrency(read.text(given))


def _timeout(given: Given) -> TimeoutRule:
    return timeout_rule(read.text(given))


def _max_errors(given: Given) -> ErrorBudget:
    return error_budget(read.text(given))


def _broker(given: Given) -> str:
    return broker_url(read.text(given))


def _urls(given: Given) -> tuple[str, ...]:
    value = given.value
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else tuple(read.text(given).split())


FIELDS: tuple[Field, ...] = (
    Field(name="output", flag="-o", parse=read.file_path, attribute="output"),
    Field(name="model", flag="-m", parse=_models, attribute="models"),
    Field(name="concurrency", flag="-c", parse=_concurrency, attribute="concurrency"),
    Field(name="fleet", flag="--fleet", parse=read.file_path),
    Field(name="instance", flag="-i", parse=_urls),
    Field(name="local", flag="--local", parse=read.boolean, attribute="local"),
    Field(
        name="engine",
        flag="--engine",
        parse=partial(_choice, ("asyncio", "threads", "celery"), ("simulated",)),
        attribute="engine",
    ),
    Field(name="broker", flag="--broker", parse=_broker, attribute="broker"),
    Field(name="system", flag="-s", parse=read.text_or_file, attribute="system"),
    Field(name="prompt", flag="--prompt", parse=read.text_or_file, attribute="prompt"),
    Field(name="options", flag="-O", parse=read.option_table, attribute="options"),
    Field(name="endpoint", flag="--endpoint", parse=_endpoint, attribute="endpoint"),
    Field(name="think", flag="--think", parse=_think, attribute="think"),
    Field(name="retries", flag="--retries", parse=read.number, attribute="retries"),
    Field(name="timeout", flag="--timeout", parse=_timeout, attribute="timeout"),
    Field(name="max_errors", flag="--max-errors", parse=_max_errors, attribute="max_errors"),
    Field(name="max_wait", flag="--max-wait", parse=read.seconds, attribute="max_wait_s"),
    Field(name="first", flag="--first", parse=read.number, attribute="first", in_file=False),
    Field(
        name="display",
        flag="--display",
        parse=partial(_choice, ("auto", "line", "log", "json", "none"), ("full",)),
        attribute="display",
    ),
    Field(
        name="format",
        flag="--format",
        parse=partial(_choice, ("json", "jsonl", "openai"), ("csv", "parquet")),
        attribute="output_format",
    ),
    Field(
        name="input_format",
        flag="--input-format",
        parse=partial(_choice, ("txt", "jsonl"), ("csv", "parquet")),
        attribute="input_format",
    ),
    Field(name="unordered", flag="--unordered", parse=read.boolean, attribute="unordered"),
    Field(
        name="on_bad_line", flag="--on-bad-line", parse=partial(_choice, ("stop", "fail"), ()), attribute="on_bad_line"
    ),
    Field(name="journal", flag="--journal", parse=read.file_path, attribute="journal"),
    Field(name="force", flag="--force", parse=read.boolean, attribute="force", in_file=False),
)
"""Every setting of ``run`` but its input, in the order in which ``config show`` prints them."""


def parsed(field: Field, given: Given) -> object:
    """The field's own value from a given one.

    Raises:
        ConfigError: If it cannot be read, saying where it was given.
    """
    try:
        return field.parse(given)
    except ConfigError as error:
        raise given.wrong(error.message, error.hint) from None
