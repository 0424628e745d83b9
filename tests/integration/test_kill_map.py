"""kill -9 of a program that reads ``arriero.map(journal=)``, then the same items again: nothing lost, nothing doubled.

Run as a script, this file is that program: it prints each answer as it comes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from books import assert_no_hole
from fake_ollama import Speed, answer, prompt_hash
from running import PATIENCE_S, Fleet, environment, fake_fleet, prompts, stored_results

import arriero
from arriero.errors import StorageError

AT_ONCE = 8
KILLS = 5
ANSWERS_A_KILL = 60
"""Items a kill: more than are answered until it strikes."""


class Program:
    """A program that is killed again and again over the same items."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.folder = folder
        self.fleet = fleet
        self.asked = prompts(ANSWERS_A_KILL * KILLS)
        self.told: dict[str, int] = {}
        self.seen = 0

    def begun(self) -> subprocess.Popen[str]:
        """The program under way."""
        words = [sys.executable, __file__, str(len(self.asked)), *self.fleet.urls]
        env = environment(self.folder, {"PYTHONPATH": os.pathsep.join(sys.path)})
        return subprocess.Popen(words, cwd=self.folder, env=env, stdout=subprocess.PIPE, text=True)

    def kill_after(self, answers: int) -> None:
        """Kill it once the servers have answered so many more, and look at what it printed."""
        before = len(self.fleet.requests("completed"))
        process = self.begun()
        try:
            self.fleet.until_completed(before + answers)
        finally:
            process.kill()
            printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        self.look(printed.rpartition("\n")[0])

    def look(self, printed: str) -> None:
        """What was printed is kept, and what was kept before stands."""
        kept = self.kept()
        for prompt, response in map(json.loads, printed.splitlines()):
            assert response == answer(prompt)
            assert self.asked.index(prompt) in kept.values(), "it was told and is not kept"
        assert self.told.keys() <= kept.keys(), "a result that was kept is gone or was replaced"
        known = {prompt_hash(self.asked[position]) for position in self.told.values()}
        again = {entry.prompt for entry in self.fleet.requests()[self.seen :]} & known
        assert not again, f"{len(again)} rows that were kept are asked for again"
        self.told, self.seen = kept, len(self.fleet.requests())

    def kept(self) -> dict[str, int]:
        """Positions in the journal by the attempt that decided."""
        try:
            return {one.attempt_name: one.position for one in stored_results(self.folder, "map.journal")}
        except StorageError:
            assert not self.told, "the journal cannot be read any more"
            return {}

    def finish(self) -> None:
        """The same items to their end; the servers' log and the journal agree."""
        self.fleet.calm()
        process = self.begun()
        printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert [json.loads(line) for line in printed.splitlines()] == [[one, answer(one)] for one in self.asked]
        self.look(printed)
        marks = [entry.attempt for entry in self.fleet.requests("completed")]
        kept = self.kept()
        assert len(set(marks)) == len(marks), "an attempt was sent twice"
        assert sorted(kept.values()) == list(range(len(self.asked)))
        assert kept.keys() <= set(marks), "a result that no server gave"
        assert_no_hole(marks, kept, AT_ONCE)
        assert len(marks) - len(kept) <= KILLS * AT_ONCE, "more was asked for again than was in flight at the kills"


@pytest.mark.timeout(60)
def test_a_map_that_is_killed_and_called_again_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(5)
    with fake_fleet(4, speed=Speed(decode_tokens_per_s=400.0)) as fleet:
        program = Program(tmp_path, fleet)
        for _ in range(KILLS):
            program.kill_after(chance.randint(1, ANSWERS_A_KILL // 2))
        assert program.told, "every kill struck before anything was kept"
        program.finish()


def main(rows: str, *urls: str) -> None:
    """Print every answer."""
    settings = {"concurrency": str(AT_ONCE)}
    for one in arriero.map(prompts(int(rows)), fleet=urls, journal="map.journal", settings=settings):
        sys.stdout.write(json.dumps([one.prompt, one.response]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
