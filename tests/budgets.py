"""Time budgets of the test folders: always printed, enforced in CI."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import PurePosixPath

import pytest

BUDGETS_S = {
    "unit": 30,
    "simulation": 110,
    "conformance": 50,
    "integration": 380,
    "live": 140,
    "brokers": 130,
    "planted": 40,
    "fuzz": 20,
    "storage": 60,
    "scale": 80,
}
"""Seconds of one process that a folder may take while another works beside it (``workers.py``): 8 minutes of both at most."""

NOISE = 2.0
"""A shared machine may be this much slower before it is a failure; ``ARRIERO_BUDGET_FACTOR`` overrides it."""


def folder_of(nodeid: str) -> str:
    """``unit`` for ``tests/unit/test_x.py::test_y``; ``house`` for a file in ``tests`` itself."""
    parts = PurePosixPath(nodeid.split("::", 1)[0]).parts
    return parts[1] if len(parts) > 2 else "house"


class Budgets:
    """Adds up setup, call and teardown of every test, by folder."""

    def __init__(self) -> None:
        self.spent_s: Counter[str] = Counter()
        self.factor = float(os.environ.get("ARRIERO_BUDGET_FACTOR", NOISE))
        self.enforced = any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "ARRIERO_CI"))

    def broken(self) -> list[str]:
        """Folders that took longer than the machine's noise explains."""
        return [name for name, budget in BUDGETS_S.items() if self.spent_s[name] > budget * self.factor]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.spent_s[folder_of(report.nodeid)] += report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.enforced and self.broken() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        budgets = {**BUDGETS_S, **dict.fromkeys(sorted(self.spent_s.keys() - BUDGETS_S.keys()))}
        parts = [
            f"{name} {self.spent_s[name]:.1f}{f' of {budget}' if budget else ''} s"
            for name, budget in budgets.items()
            if name in self.spent_s
        ]
        terminalreporter.write_line("time: " + " · ".join(parts))
        for name in self.broken():
            limit = f"{self.factor:g} x {BUDGETS_S[name]} s"
            terminalreporter.write_line(
                f"OVER BUDGET: tests/{name} took {self.spent_s[name]:.1f} s, more than {limit}", red=True
            )


def pytest_configure(config: pytest.Config) -> None:
    # The long forms of the proofs (-m slow) have no budget; a worker reports to the process that started it.
    if config.getoption("markexpr") == "not slow" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Budgets(), "arriero-budgets")
