"""How the tests are dealt out to two processes: a module stays together, and so do those that share real servers."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/live/", "tests/brokers/")
"""Folders whose servers are started once: all of one is with one process."""


class ByModule(LoadScopeScheduling):
    """One process for a module at a time, and one for all of a folder that is kept together."""

    def _split_scope(self, nodeid: str) -> str:
        folders = (folder for folder in TOGETHER if nodeid.startswith(folder))
        return next(folders, nodeid.split("::", 1)[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByModule:
    return ByModule(config, log)
