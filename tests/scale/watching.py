"""A command watched from outside: its memory, its open files and its progress, so that what is measured is what users run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from arriero.errors import ArrieroError
from arriero.journal.reader import JournalReader

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MIB = 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

LOOK_S = 0.02
"""How often a command is looked at: its memory and files are read, nothing is asked of it."""

FLAT_BYTES = 20 * MIB
"""What memory may grow by between the first tenth of a batch and the last."""

FLAT_FILES = 3
"""What open files may grow by: a file of the journal that is only now made, a file that is being written anew."""


class Look(NamedTuple):
    """A command at one moment; ``done`` counts what has ended."""

    done: int
    rss_bytes: int
    files: int


class Course:
    """All looks at one command.

    Attributes:
        looks: In order.
        code: Exit status; the signal's negative number if it was killed.
        err: Standard error.
        most_bytes: Highest memory ever seen.
        cpu_s: User and system time of the whole process; 0 for one that ``watched`` killed.
    """

    def __init__(self, looks: list[Look], code: int, err: str, cpu_s: float) -> None:
        self.looks = looks
        self.code = code
        self.err = err
        self.cpu_s = cpu_s
        self.most_bytes = max(look.rss_bytes for look in looks)

    def part(self, rows: int, first: float, last: float) -> list[Look]:
        """The looks between two shares of the rows."""
        looks = [look for look in self.looks if first * rows < look.done <= last * rows]
        assert looks, f"nothing was seen between {first:.0%} and {last:.0%} of {rows} rows"
        return looks

    def assert_flat(self, rows: int, *, begin: int = 0, files: int = FLAT_FILES) -> None:
        """Between the first tenth of the rows that this command carried and the last, memory and files have not grown.

        The highest look of the last tenth, and of what came after it (the output), counts.
        """
        share = begin / rows
        early = self.part(rows, share, share + 0.1 * (1 - share))
        late = [look for look in self.looks if look.done > rows - 0.1 * (rows - begin)]
        assert late, "nothing was seen of the last tenth"
        most = {name: (max(look[at] for look in early), max(look[at] for look in late)) for name, at in FIELDS}
        (bytes_early, bytes_late), (files_early, files_late) = most["rss"], most["files"]
        assert bytes_late - bytes_early <= FLAT_BYTES, (
            f"memory grew with the rows: {bytes_early / MIB:.0f} MiB in the first tenth, {bytes_late / MIB:.0f} at the end"
        )
        assert files_late - files_early <= files, (
            f"open files grew with the rows: {files_early} in the first tenth, {files_late} at the end"
        )

    def said(self) -> str:
        """One line for who runs the tests with ``-s``."""
        files = max(look.files for look in self.looks)
        return f"most {self.most_bytes / MIB:.0f} MiB, {files} files, {self.cpu_s:.1f} CPU s, {len(self.looks)} looks"


FIELDS = (("rss", 1), ("files", 2))


def watched(
    command: Sequence[str],
    folder: Path,
    done: Callable[[], int],
    *,
    kill_at: int | None = None,
    out: Any = subprocess.DEVNULL,
    patience_s: float = 50.0,
    meanwhile: Callable[[], None] = lambda: None,
) -> Course:
    """Run a command to its end and look at it all the while.

    Args:
        command: Its words.
        folder: Where it runs.
        done: Asked for the progress at each look.
        kill_at: It is killed (``SIGKILL``) once so much is done.
        out: Its standard output.
        patience_s: It is killed, and the test fails, after so long.
        meanwhile: Called after each look.
    """
    with (folder / "stderr").open("w+") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=out, stderr=err)
        looks: list[Look] = []
        ends = time.monotonic() + patience_s
        try:
            while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                with suppress(OSError, ValueError, IndexError):  # it may end between two lines
                    looks.append(Look(done(), rss_bytes(process.pid), open_files(process.pid)))
                    if kill_at is not None and looks[-1].done >= kill_at:
                        os.kill(process.pid, 9)
                        kill_at = None
                meanwhile()
                assert time.monotonic() < ends, f"still running after {patience_s} s, {looks[-1:]}"
                time.sleep(LOOK_S)
            _, status, usage = ended
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        err.seek(0)
        return Course(looks, process.returncode, err.read(), usage.ru_utime + usage.ru_stime)


def rss_bytes(process: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES


def open_files(process: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208 - names are all that is wanted


def committed(journal: Path) -> Callable[[], int]:
    """Progress as the journal tells it to anyone: results on disk."""

    def done() -> int:
        if not journal.exists():
            return 0
        try:
            with JournalReader(journal) as reader:
                return reader.counts().finished
        except ArrieroError:  # it is being made
            return 0

    return done


def environment(folder: Path) -> dict[str, str]:
    """What the command sees: nothing of the user's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARRIERO_", "OLLAMA_", "XDG_"))}
    kept.pop("CI", None)
    return {**kept, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1"}


def virtual(first_file: Path, *words: str) -> list[str]:
    """The command line over simulated servers."""
    return [sys.executable, str(HERE / "virtual_run.py"), str(first_file), *words]


def fleet(instances: int) -> list[str]:
    """Flags for so many simulated instances."""
    return ["-m", "mistral:7b", "-i", f"http://sim-{{1..{instances}}}:11434", "--display", "none"]


def write_prompts(path: Path, rows: int) -> Path:
    """Prompts of 60 bytes, their line feed not counted."""
    with path.open("w") as file:
        file.writelines(f"Tell me what there is to know of number {row:09}, in short.\n" for row in range(rows))
    return path


def read_first(path: Path) -> Mapping[str, float]:
    """When the first request was sent."""
    return dict(json.loads(path.read_text()))


@contextmanager
def instant_server(folder: Path) -> Iterator[str]:
    """``bench/instant_server.py``, and its address."""
    port_file = folder / "port"
    command = [sys.executable, str(REPOSITORY / "bench" / "instant_server.py"), str(port_file)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        ends = time.monotonic() + 20.0
        while not (port_file.exists() and port_file.read_text()):
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < ends, "no port was told"
            time.sleep(LOOK_S)
        yield f"http://127.0.0.1:{port_file.read_text()}"
    finally:
        server.communicate(b"")
