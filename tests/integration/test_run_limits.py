"""How many run at once: every form of ``-c`` and ``limit`` against what the servers saw, and slots that are found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from fake_ollama import Entry, Speed, peak_overlap
from running import Ended, Fleet, arriero, assert_answered, fake_fleet, prompts, read_results, write_prompts

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(80)
SLOW = Speed(decode_tokens_per_s=300.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def most_at_once(entries: Iterable[Entry]) -> int:
    """The most requests that a fleet held at one moment, running or waiting for a slot; all clocks are one."""
    marks = [mark for one in entries for mark in ((one.started, 1), (one.ended or one.started, -1))]
    most = held = 0
    for _, step in sorted(marks):
        held += step
        most = max(most, held)
    return most


def most_on(fleet: Fleet) -> list[int]:
    """The same of each server, as it counted itself when each request came."""
    return [
        max((entry.in_flight + 1 for entry in server.log.entries if entry.purpose == "request"), default=0)
        for server in fleet.servers
    ]


def test_auto_finds_the_slots_of_each_instance_and_fills_them(folder: Path) -> None:
    asked = write_prompts(folder, 140)
    with fake_fleet(1, 2, 4, speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-c", "auto", *fleet.flags)
        told = arriero(folder, "status", "--json").json

    assert done.code == 0, done.err
    assert_answered(read_results(folder), asked)
    assert [one["slots"] for one in told["instances"]] == [1, 2, 4]
    assert [peak_overlap(server.log.requests()) for server in fleet.servers] == [1, 2, 4]
    assert all(one["slots"] < one["limit"] <= one["slots"] + 4 for one in told["instances"])
    assert all(most <= 2 * (one["limit"] + 2) for most, one in zip(most_on(fleet), told["instances"], strict=True))
    assert "slots      7 can run at once (1 + 2 + 4), learned" in done.err


@pytest.mark.parametrize(
    ("flag", "most"), [("7", 7), ("3x", 6), ("auto:5", 5), ("1", 1)], ids=["exactly", "a-server", "learned", "one"]
)
def test_never_more_than_allowed_are_in_flight_over_the_fleet(folder: Path, flag: str, most: int) -> None:
    with fake_fleet(4, 4, speed=Speed(decode_tokens_per_s=600.0)) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-c", flag, "--first", "30", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED[:30])
    assert most_at_once(fleet.requests()) == most


def test_a_fixed_number_is_shared_by_all_instances(folder: Path) -> None:
    with fake_fleet(1, 2, 4, speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-c", "9", *fleet.flags)

    assert done.code == 0, done.err
    shares = [len(server.log.requests()) for server in fleet.servers]
    assert min(shares) >= 4, shares
    assert shares[2] > shares[0], shares


@pytest.mark.parametrize(("limit", "most"), [("2", [2, 2]), ('"1-1-3"', [3, 3])], ids=["fixed", "least-start-most"])
def test_a_limit_of_the_fleet_file_holds_on_each_instance(folder: Path, limit: str, most: list[int]) -> None:
    with fake_fleet(1, 4, speed=SLOW) as fleet:
        tables = [f'[[instance]]\nname = "{one.name}"\nurl = "{one.url}"\nlimit = {limit}\n' for one in fleet.servers]
        (folder / "arriero.toml").write_text("".join(tables))
        done = arriero(folder, "run", "prompts.txt", "--first", "40")

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED[:40])
    assert all(seen <= bound for seen, bound in zip(most_on(fleet), most, strict=True))
    assert most_on(fleet)[1] == most[1]


def slots_said(ended: Ended) -> list[str]:
    """What the summary says of the slots."""
    return [line[11:] for line in ended.err.splitlines() if line.startswith("slots ")]


def test_the_summary_says_when_too_many_were_allowed_once_enough_was_seen(folder: Path) -> None:
    with fake_fleet(4, speed=SLOW) as fleet:
        high = arriero(folder, "run", "prompts.txt", "-c", "12", *fleet.flags)
        few = arriero(folder, "run", "prompts.txt", "-o", "few.json", "-c", "30", "--first", "10", *fleet.flags)

    assert slots_said(high) == ["4 can run at once, -c 12 parks 8"]
    assert slots_said(few) == [], "ten requests say nothing about thirty"


ALL_OF = "at least {0} can run at once, all that -c {0} allows: more may fit"


@pytest.mark.parametrize(
    ("flag", "rows", "allowed"),
    [  # where the first requests are sent is decided by speed, so that one or the other sentence is true
        ("2", 25, [["at least 3 can run at once, -c 2 leaves 1 or more idle"], [ALL_OF.format(2)]]),
        ("7", 25, [[], [ALL_OF.format(7)]]),
        ("30", 10, [[]]),
        ("30", 80, [["7 can run at once, -c 30 parks 23"], []]),
    ],
)
def test_a_fleet_that_was_not_tried_in_full_is_told_as_a_least_or_not_at_all(
    folder: Path, flag: str, rows: int, allowed: list[list[str]]
) -> None:
    with fake_fleet(1, 2, 4, speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-c", flag, "--first", str(rows), *fleet.flags)

    assert done.code == 0, done.err
    assert slots_said(done) in allowed


def test_a_fleet_that_an_earlier_batch_has_tried_in_full_is_a_fact_in_the_next(folder: Path) -> None:
    with fake_fleet(4, speed=SLOW) as fleet:
        arriero(folder, "run", "prompts.txt", *fleet.flags)
        few = arriero(folder, "run", "prompts.txt", "-o", "few.json", "-c", "2", "--first", "10", *fleet.flags)

    assert slots_said(few) == ["4 can run at once, -c 2 leaves 2 idle"]
