"""Workers: the Celery engine of a session, whom the start waits for, and what ``worker`` and ``fleet ps`` do with a broker."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arriero.backends.wire import Backend
from arriero.client.memory import Memory
from arriero.config.broker import without_password
from arriero.config.settings import Settings
from arriero.engines.address import Address
from arriero.errors import ConfigError, FleetError

if TYPE_CHECKING:
    from arriero.engines.celery.engine import CeleryEngine
    from arriero.engines.celery.messages import Announcement

LISTEN_S = 4.5
"""How long ``fleet ps`` listens: two announcements and a bit."""


class Workers:
    """What a session asks of its Celery engine.

    Args:
        engine: The engine.
        settings: Checked settings.
    """

    def __init__(self, engine: CeleryEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._until = time.monotonic() + settings.max_wait_s

    @property
    def awaited(self) -> bool:
        """Whether the start had better wait for a worker."""
        return self._engine.gathering and time.monotonic() < self._until

    def missing(self) -> FleetError:
        """No worker serves this batch, and why."""
        broker = without_password(self._settings.broker)
        if trouble := self._engine.trouble:
            return FleetError(
                f"{broker} is not reached: {trouble}", hint="look at its address, password and certificate"
            )
        if held := self._engine.held:
            return FleetError(
                f"every worker on {broker} serves another batch: {', '.join(held)}", hint="wait for its end"
            )
        return FleetError(
            f"no worker announces itself on {broker}", hint="arriero worker --broker URL, on each machine"
        )


def celery_engine(
    settings: Settings,
    book: Mapping[str, Address],
    dialects: Mapping[str, Backend],
    name: str,
    batch: str,
    memory: Memory,
) -> tuple[CeleryEngine, Workers]:
    """The engine that reaches workers, and what a session asks of it.

    Raises:
        ConfigError: If Celery is not installed.
    """
    try:
        from arriero.engines.celery.engine import CeleryEngine, Reach, new_run  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_installed() from error
    reach = Reach(settings.broker, batch or _batch(settings), new_run())
    engine = CeleryEngine(book, dialects, name, reach, lambda instance: memory.instances([instance])[0])
    return engine, Workers(engine, settings)


def work(settings: Settings, book: Mapping[str, Address], dialects: Mapping[str, Backend], **how: Any) -> int:
    """Be a worker until it is ended.

    Args:
        settings: Checked settings.
        book: Addresses of its instances by name.
        dialects: Backend by name.
        how: ``name``, ``grace_s`` and ``say``.

    Returns:
        The exit status.

    Raises:
        ConfigError: If Celery is not installed.
    """
    try:
        from arriero.engines.celery.worker import Job, serve  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_installed() from error
    instances = tuple(config.instance for config in settings.instances)
    return serve(Job(broker=settings.broker, instances=instances, book=book, dialects=dialects, **how))


def announced_workers(settings: Settings, wait: Callable[[float], object] = time.sleep) -> list[Announcement]:
    """Whoever announces itself on the broker now, by name.

    Raises:
        FleetError: If the broker is not reached.
    """
    try:
        from arriero.engines.celery.engine import listen  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_installed() from error
    found, trouble = listen(settings.broker, lambda: wait(LISTEN_S))
    if trouble and not found:
        raise FleetError(
            f"{without_password(settings.broker)} is not reached: {trouble}",
            hint="look at its address, password and certificate",
        )
    return found


def _batch(settings: Settings) -> str:
    """The same for the same journal on the same machine."""
    place = f"{socket.gethostname()}:{Path(settings.journal).resolve()}"
    return hashlib.blake2b(place.encode(), digest_size=6).hexdigest()


def _not_installed() -> ConfigError:
    return ConfigError("Celery is not installed", hint="pip install 'arriero[celery]'")
