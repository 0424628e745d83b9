"""How the tests are dealt out to two processes: a module stays together, and all real servers stay with one process."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

LIVE = "tests/live/"


class ByModule(LoadScopeScheduling):
    """One process for a module at a time, and one for all of ``tests/live``, whose fleet is started once."""

    def _split_scope(self, nodeid: str) -> str:
        return LIVE if nodeid.startswith(LIVE) else nodeid.split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByModule:
    return ByModule(config, log)
