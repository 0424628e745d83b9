"""Planted bugs: patches of the real code, each with the promise it breaks and the one test that must notice.

A file of ``bugs`` is a unified diff below a header of four lines: ``Promise``, ``Test``, ``Says`` (words of the failing
test) and ``Why``. ``python tests/planted/bug.py NAME…`` plants bugs in copies of the package and says what became of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent / "bugs"
HEADER = ("Promise", "Test", "Says", "Why")

FAILED = 1
"""Exit code of pytest when tests were run and some failed; 2 to 5 mean that nothing was proved."""


@dataclass(frozen=True)
class Bug:
    """One patch and what its header says."""

    file: Path
    promise: str
    test: str
    says: str
    why: str

    @classmethod
    def read(cls, file: Path) -> Bug:
        """Read the header of a patch.

        Raises:
            LookupError: A line of the header is missing.
        """
        header = file.read_text(encoding="utf-8").partition("\n--- ")[0]
        found = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
        if missing := [name for name in HEADER if not found.get(name)]:
            raise LookupError(f"{file.name} has no {', '.join(missing)}")
        return cls(file, *(found[name].strip() for name in HEADER))

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem


def bugs() -> list[Bug]:
    """All planted bugs, by name."""
    return [Bug.read(file) for file in sorted(FOLDER.glob("*.patch"))]


@contextmanager
def copied() -> Iterator[Path]:
    """A folder with a copy of the package's sources in ``src``."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(REPOSITORY / "src", Path(folder) / "src", ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def plant(bug: Bug, folder: Path, *flags: str) -> None:
    """Put a bug into the sources of a folder; with ``-R`` take it out again.

    Raises:
        LookupError: The patch does not fit the code any more.
    """
    done = subprocess.run(
        ["git", "apply", *flags, str(bug.file)],
        cwd=folder,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LookupError(f"{bug.name} does not fit the code: {done.stderr.strip()}")


def proof(bug: Bug) -> tuple[bool, str]:
    """Run the one test that the bug names, on the copy with the bug, up to its first failure.

    Returns:
        Whether it failed with the words of the header, and all that pytest printed.
    """
    with copied() as folder:
        plant(bug, folder)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-n",
                "0",
                "-m",
                "",
                "-p",
                "no:cacheprovider",
                "--tb=short",
                bug.test,
            ],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    return done.returncode == FAILED and bug.says in said, said


def main(names: list[str]) -> int:
    """Plant the bugs of these names, or all, and print a line for each."""
    chosen = [bug for bug in bugs() if not names or bug.name in names]
    unnoticed = 0
    for bug in chosen:
        noticed, said = proof(bug)
        unnoticed += not noticed
        print("noticed    " if noticed else "NOT NOTICED", bug.name, flush=True)  # noqa: T201 - a command's output
        if not noticed:
            print(said)  # noqa: T201 - the same
    return 1 if unnoticed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
