"""What ``arriero verify`` tells a user of their own journal and output, sound and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from running import arriero, fake_fleet, write_prompts

ROWS = 12
PROMISES = {"P1", "P2", "P3", "P4", "P5", "P6", "P8", "P9", "P11", "P12", "P13", "P14", "P15"}
"""P7 and P10 leave no trace in a file: only a test can watch them."""


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished batch whose output has the order in which results came."""
    folder = tmp_path_factory.mktemp("verified")
    write_prompts(folder, ROWS)
    with fake_fleet(4) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-o", "results.jsonl", "--unordered", *fleet.flags)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def copy(batch: Path, tmp_path: Path) -> Path:
    """The same batch, to be broken."""
    for file in batch.glob("[!.]*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / file.name).chmod(0o600)
    return tmp_path


def verified(folder: Path) -> dict[str, Any]:
    """``arriero verify --json``: what was found, by name, and ``code``."""
    done = arriero(folder, "verify", "results.jsonl", "--json")
    return {"code": done.code, **{one["name"]: (one["ok"], one["text"]) for one in done.json["promises"]}}


def test_each_promise_that_leaves_a_trace_is_looked_at_and_named(batch: Path) -> None:
    done = arriero(batch, "verify", "results.jsonl")
    as_json = arriero(batch, "verify", "results.jsonl", "--json").json

    assert done.code == 0, done.out
    assert {one["promise"] for one in as_json["promises"]} == PROMISES
    assert {one["ok"] for one in as_json["promises"]} == {True}
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("ok")] == [
        one["promise"] for one in as_json["promises"]
    ]


def test_lines_in_another_order_are_the_same_output_and_one_altered_line_is_not(copy: Path) -> None:
    output = copy / "results.jsonl"
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(reversed(lines)))
    reversed_ = verified(copy)
    output.write_bytes(b"".join(lines[:-1]) + lines[0])
    doubled = verified(copy)

    assert reversed_["code"] == 0
    assert doubled["code"] == 7
    assert doubled["output"] == (False, "results.jsonl differs from what the journal and the input give")


def test_files_that_others_may_read_are_named_with_the_command_that_mends_it(copy: Path) -> None:
    (copy / "results.jsonl").chmod(0o644)

    found = verified(copy)

    assert found["code"] == 0
    assert found["private"] == (None, "others may read: chmod go= results.jsonl")


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("UPDATE answer SET instance = 'elsewhere' WHERE answer = 3", "instances"),
        ("UPDATE answer SET attempt = (SELECT max(attempt) FROM answer)", "attempts"),
        ("UPDATE batch SET succeeded = succeeded - 1", "counters"),
        ("DELETE FROM finished WHERE position = 4", "no stray outcome"),
    ],
)
def test_a_journal_that_breaks_a_promise_is_found_out(copy: Path, sql: str, name: str) -> None:
    connection = apsw.Connection(str(copy / "results.jsonl.journal"))
    connection.execute(sql)
    connection.close()

    found = verified(copy)

    assert found["code"] == 7
    assert found[name][0] is False
