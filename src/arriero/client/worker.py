"""Worker: what the command of that name does: instances and their secrets, handed to the Celery process."""

from __future__ import annotations

from collections.abc import Callable

from arriero.backends.dialects import backend
from arriero.client.session import address
from arriero.client.workers import work
from arriero.config.settings import Settings


def worker(settings: Settings, *, name: str, grace_s: float, say: Callable[[str], None]) -> int:
    """Carry requests out for whoever coordinates, until it is ended.

    Args:
        settings: Checked settings: the broker and the instances.
        name: The worker's name.
        grace_s: How long what runs may go on at the end.
        say: Says a line.

    Returns:
        The exit status.

    Raises:
        ConfigError: If Celery is not installed, or a variable that an instance needs is not set.
    """
    book = {config.instance.name: address(config) for config in settings.instances}
    dialects = {name: backend(name) for name in ("ollama", "openai")}
    return work(settings, book, dialects, name=name, grace_s=grace_s, say=say)
