"""The exception tree; the docstring is the message.

::

    ArrieroError             exit 1
      ConfigError            exit 2  a flag, a setting or the fleet file is wrong
      InputError             exit 2  a line of the input is wrong
      BindingError           exit 2  the journal belongs to another batch
      OutputError            exit 2  the output is in the way
      FleetError             exit 5  no instance can serve the batch
      HeldError              exit 6  another process owns the journal
      StorageError           exit 7  the disk or the journal failed

A server's failure is never an exception: it is data, a ``Failure``. Exceptions are for the caller's
mistakes and for the machine's storage.
"""

from __future__ import annotations


class ArrieroError(Exception):
    """arriero cannot go on.

    Attributes:
        message: What is wrong, where and why; one sentence or a few lines.
        hint: The next command or change that helps; empty if there is none.
        exit_code: Exit status of the command line (``docs/reliability.md``).
    """

    exit_code = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        """Keep message and hint apart, so that ``--json`` can show both."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        """The message, and on a line of its own what helps."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(ArrieroError):
    """A flag, a setting or the fleet file is wrong."""

    exit_code = 2


class InputError(ArrieroError):
    """A line of the input is wrong."""

    exit_code = 2


class BindingError(ArrieroError):
    """The journal belongs to another batch."""

    exit_code = 2


class OutputError(ArrieroError):
    """The output is in the way."""

    exit_code = 2


class FleetError(ArrieroError):
    """No instance can serve the batch."""

    exit_code = 5


class HeldError(ArrieroError):
    """Another process owns the journal."""

    exit_code = 6


class StorageError(ArrieroError):
    """The disk or the journal failed."""

    exit_code = 7
