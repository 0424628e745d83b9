"""Options: ``-O key=value``, checked against what Ollama takes, because a server cuts or fails on the rest."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from arriero.config.suggestion import did_you_mean
from arriero.errors import ConfigError

INTEGER, NUMBER, BOOLEAN, TEXT, TEXTS = "an integer", "a number", "true or false", "a text", "a list of texts"
SPAN = "a duration"

OPTION_TYPES = {
    "num_ctx": INTEGER,
    "num_batch": INTEGER,
    "num_gpu": INTEGER,
    "main_gpu": INTEGER,
    "use_mmap": BOOLEAN,
    "num_thread": INTEGER,
    "draft_num_predict": INTEGER,
    "num_keep": INTEGER,
    "seed": INTEGER,
    "num_predict": INTEGER,
    "top_k": INTEGER,
    "top_p": NUMBER,
    "min_p": NUMBER,
    "typical_p": NUMBER,
    "repeat_last_n": INTEGER,
    "temperature": NUMBER,
    "repeat_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "stop": TEXTS,
    "keep_alive": SPAN,
    "shift": BOOLEAN,
    "logprobs": BOOLEAN,
    "top_logprobs": INTEGER,
    "raw": BOOLEAN,
    "template": TEXT,
    "suffix": TEXT,
    "dimensions": INTEGER,
}
"""Option to the type a server wants. From ``keep_alive`` on they are fields of the request itself, sent only when named.

Source: Ollama v0.33.0, ``api.Options``, ``api.Runner`` and ``api.GenerateRequest``.
"""

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    INTEGER: (int,),
    NUMBER: (int, float),
    BOOLEAN: (bool,),
    TEXT: (str,),
    TEXTS: (list,),
    SPAN: (int, float, str),
}
_EXAMPLES = {
    INTEGER: "{}=256",
    NUMBER: "{}=0.7",
    BOOLEAN: "{}=true",
    TEXT: "{}=text",
    TEXTS: "'{}=[\"END\"]'",
    SPAN: "{}=5m",
}
_POSITIVE = ("num_predict", "num_ctx")
_OTHER_NAMES = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "max_new_tokens": "num_predict",
    "context_length": "num_ctx",
    "n_ctx": "num_ctx",
    "temp": "temperature",
}
_INT64_MOST = 2**63 - 1


def parse_option(text: str) -> tuple[str, object]:
    """Name and value from ``key=value``; the value is JSON if it reads as JSON, else text.

    Raises:
        ConfigError: If there is no ``=`` or no key.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"`{text}` is no option", hint="form: key=value, such as temperature=0 or 'stop=[\"END\"]'")
    try:
        return name.strip(), msgspec.json.decode(value)
    except RecursionError:
        raise ConfigError(f"option {name.strip()}: JSON nested too deep") from None
    except UnicodeEncodeError:
        raise ConfigError(f"option {name.strip()}: not UTF-8") from None
    except msgspec.DecodeError:
        return name.strip(), value


def checked_option(name: str, value: object) -> object:
    """The value as it will be sent.

    Raises:
        ConfigError: If a known option has a value of the wrong type (Ollama answers 500, or cuts a fraction off
            without a word), or one with which an answer could run without end.
    """
    wanted = OPTION_TYPES.get(name)
    if wanted is None:
        return value
    if wanted == INTEGER and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not _fits(value, wanted):
        hint = f"such as -O {_EXAMPLES[wanted].format(name)}"
        raise ConfigError(f"option {name} must be {wanted}, not {msgspec.json.encode(value).decode()}", hint=hint)
    if name in _POSITIVE and isinstance(value, int) and value < 1:
        raise ConfigError(
            f"option {name} must be at least 1, not {value}",
            hint="leave num_predict out for as many tokens as the context leaves" if name == "num_predict" else "",
        )
    return value


def option_warnings(options: Mapping[str, object]) -> list[str]:
    """A sentence for each option that Ollama does not know, and would ignore without a word."""
    warnings = []
    for name in options:
        if name not in OPTION_TYPES:
            other = _OTHER_NAMES.get(name)
            hint = f"did you mean `{other}`?" if other else did_you_mean(name, OPTION_TYPES)
            warnings.append(f"option {name} is not one that Ollama knows; it is sent as it is. {hint}".rstrip())
    return warnings


def _fits(value: object, wanted: str) -> bool:
    if isinstance(value, bool) and wanted != BOOLEAN:
        return False  # Python counts a bool as a number, JSON does not
    if isinstance(value, int) and abs(value) > _INT64_MOST:
        return False
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return False
    return isinstance(value, _PYTHON_TYPES[wanted])
