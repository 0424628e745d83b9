"""Machine: findings on versions, disk, open files, proxies and instances, for ``doctor``."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path

import apsw
import msgspec

from arriero.client.finding import Finding, all_well, finding_lines
from arriero.client.instances import UNPROVEN, FleetView, InstanceState, fleet_ps
from arriero.client.memory import Memory
from arriero.config.settings import Settings
from arriero.errors import ArrieroError
from arriero.journal.place import free_bytes, refuse_network, resolve
from arriero.local.model import model_path, require_engine
from arriero.monitor.words import plural

FILES_LEAST = 1024
"""Open files below which a fleet of some hundred attempts in flight runs out."""

DISK_LEAST_BYTES = 1_000_000_000


class Doctor(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing gets in the way."""
        return all_well(self.findings)

    def lines(self) -> list[str]:
        """A line a finding."""
        return finding_lines(self.findings)


def machine(journal: Path) -> list[Finding]:
    """Versions, disk, open files, proxies, the demonstration model.

    Args:
        journal: Where the journal of a batch would lie.
    """
    python = f"{platform.python_version()}, arriero {version('arriero')}, aiohttp {version('aiohttp')}"
    return [
        Finding(name="versions", ok=True, text=f"Python {python}"),
        Finding(name="sqlite", ok=True, text=f"{apsw.sqlite_lib_version()} through apsw"),
        _disk(journal),
        _files(),
        _proxies(),
        _local(),
        _learned(),
    ]


def instances(view: FleetView) -> list[Finding]:
    """Each instance, as discovery found it."""
    return [_instance(one) for one in view.instances]


def _instance(one: InstanceState) -> Finding:
    if one.state == "ok":
        return Finding(name=one.name, ok=True, text=f"{one.url}  {one.backend} {one.version}".rstrip())
    if one.state == UNPROVEN:
        return Finding(name=one.name, ok=None, text=f"{one.url}  {UNPROVEN}: {one.reason}")
    return Finding(name=one.name, ok=False, text=f"{one.url}  {one.reason}")


def doctor(settings: Settings) -> Doctor:
    """Look at the machine and ask the instances; sends no prompt."""
    return Doctor(findings=(*machine(Path(settings.journal)), *instances(fleet_ps(settings))))


def _disk(journal: Path) -> Finding:
    try:
        path = resolve(journal)
        refuse_network(path)
    except ArrieroError as error:
        return Finding(name="disk", ok=False, text=error.message)
    folder = path.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(name="disk", ok=False, text=f"{folder} cannot be written; a batch keeps its journal beside -o")
    free = free_bytes(path)
    return Finding(name="disk", ok=free >= DISK_LEAST_BYTES, text=f"{free / 1e9:.1f} GB free in {folder}")


def _files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding(name="open files", ok=soft >= FILES_LEAST or None, text=f"{soft:,} at most (ulimit -n)")


def _proxies() -> Finding:
    names = [name for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy") if os.environ.get(name)]
    if not names:
        return Finding(name="proxy", ok=True, text="none in the environment")
    return Finding(name="proxy", ok=None, text=f"{', '.join(names)} set; private addresses are reached without it")


def _local() -> Finding:
    try:
        require_engine()
    except ArrieroError as error:
        return Finding(name="local", ok=None, text=f"{error.message} ({error.hint})")
    there = model_path()
    return Finding(
        name="local", ok=True if there else None, text=str(there) if there else "model missing: arriero local install"
    )


def _learned() -> Finding:
    memory = Memory.of(os.environ)
    known = memory.known
    text = f"{plural(known, 'entry', 'entries')} in {memory.path}" if known else "nothing yet"
    return Finding(name="learned", ok=True, text=text)
