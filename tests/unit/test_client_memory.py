"""The state file: what is learned comes back for the same build of a model, and a broken file is as good as none."""

from __future__ import annotations

import fcntl
import json
import os
import stat

import pytest
from desk import LLAMA, MISTRAL, Desk, row, success

from arriero.client.memory import Memory
from arriero.core.events import InstanceJoined
from arriero.core.instance import Instance, InstanceLimit
from arriero.core.outcome import Usage
from arriero.core.policies.predict import Lengths
from arriero.core.remembered import Served


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "state" / "arriero" / "learned.json")


def worked(rows=6):
    """A desk after a batch on one instance, limit learned."""
    desk = Desk()
    desk.tell(InstanceJoined(Instance(name="a", url="http://a")))
    desk.settle()
    desk.add(*(row(position, family="f") for position in range(rows)))
    while running := desk.requests():
        for attempt in running:
            desk.begin(attempt)
        desk.now += 1.0
        for attempt in running:
            desk.end(attempt, desk.well(attempt))
    return desk.scheduler


def keep(memory, scheduler):
    return memory.keep(scheduler.fleet, scheduler.lengths)


def remembered(memory, url="http://a"):
    return memory.instances([Instance(name="any", url=url)])[0]


def test_what_a_batch_learned_of_an_instance_comes_back(memory):
    scheduler = worked()
    assert keep(memory, scheduler)

    (served,) = remembered(memory)
    learned = scheduler.fleet["a"]
    assert (served.unit, served.digest) == (MISTRAL, "sha256:mistral:7b")
    assert served.slots == learned.limits[MISTRAL].slots > 1
    assert served.token_s == pytest.approx(learned.paces[MISTRAL].token_s)
    assert served.token_s > 0
    assert remembered(memory, "http://elsewhere") == ()


def test_the_file_is_for_its_owner_alone_and_leaves_no_other_behind(memory):
    keep(memory, worked())

    assert stat.S_IMODE(memory.path.stat().st_mode) == 0o600
    assert [path.name for path in memory.path.parent.iterdir()] == ["learned.json"]


def test_what_a_killed_batch_had_half_written_is_written_anew_and_does_not_pile_up(memory):
    memory.path.parent.mkdir(parents=True)
    memory.path.with_name("learned.json.partial").write_text("x" * 100_000)
    assert keep(memory, worked())

    assert remembered(memory)
    assert [path.name for path in memory.path.parent.iterdir()] == ["learned.json"]


def test_a_batch_that_is_held_while_it_writes_holds_no_other(memory):
    keep(memory, worked())
    partial = memory.path.with_name("learned.json.partial")
    with partial.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("half")
        held.flush()
        assert not keep(memory, worked())
        assert partial.read_text() == "half"
    assert keep(memory, worked())


def test_a_batch_that_learned_nothing_leaves_the_file_alone(memory):
    assert not keep(memory, Desk("a").scheduler)
    assert not memory.path.exists()


def test_what_others_have_learned_stays(memory):
    keep(memory, worked())
    other = worked()
    other.fleet["a"].instance = Instance(name="a", url="http://b")
    keep(memory, other)

    assert remembered(memory, "http://a")
    assert remembered(memory, "http://b")
    assert memory.known == 2


@pytest.mark.parametrize(
    ("field", "value"), [("slots", 0), ("slots", 10**9), ("token_s", -1.0), ("load_s", -1e9), ("load_s", 1e9)]
)
def test_a_figure_that_nobody_can_have_learned_is_left_out(memory, field, value):
    keep(memory, worked())
    file = json.loads(memory.path.read_bytes())
    file["served"][0][1][field] = value
    memory.path.write_text(json.dumps(file))

    assert remembered(memory) == ()


@pytest.mark.parametrize(("count", "mean"), [(-1, 1.0), (10**18, 1.0), (3, 1e300)])
def test_lengths_that_nobody_can_have_learned_are_left_out(memory, count, mean):
    scheduler = worked()
    keep(memory, scheduler)
    file = json.loads(memory.path.read_bytes())
    file["sizes"][0]["levels"][0][1][0][:2] = [count, mean]
    memory.path.write_text(json.dumps(file))
    lengths = Lengths()
    memory.recall(scheduler.fleet, lengths)

    assert lengths.version == 0


def test_a_pipe_in_its_place_is_not_waited_for(memory):
    memory.path.parent.mkdir(parents=True)
    os.mkfifo(memory.path)

    assert remembered(memory) == ()


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"[" * 100_000, b"", b"{", b"[]", b'{"version":2,"served":[]}', b'{"version":1,"served":[["u",{}]]}'],
)
def test_a_file_that_cannot_be_read_is_as_good_as_none(memory, text):
    memory.path.parent.mkdir(parents=True)
    memory.path.write_bytes(text)

    assert remembered(memory) == ()
    assert keep(memory, worked())
    assert len(remembered(memory)) == 1


def test_a_folder_that_cannot_be_written_keeps_nothing_and_does_not_fail(tmp_path):
    (tmp_path / "state").write_text("a file")
    memory = Memory(tmp_path / "state" / "learned.json")

    assert not keep(memory, worked())
    assert not Memory(None).keep(worked().fleet, Lengths())
    assert Memory.of({}).path is None


def test_a_member_begins_with_what_is_remembered_of_the_same_build():
    desk = Desk()
    known = Served(unit=MISTRAL, digest="sha256:mistral:7b", slots=6, token_s=0.02, load_s=7.0)
    other_build = Served(unit=LLAMA, digest="sha256:older", slots=6, token_s=0.02, load_s=7.0)
    desk.tell(InstanceJoined(Instance(name="a", url="http://a"), (known, other_build)))
    desk.settle()
    fleet = desk.scheduler.fleet
    member = fleet["a"]

    assert fleet.limit(member, MISTRAL).slots == 6
    assert fleet.limit(member, MISTRAL).limit(0.0) == 7
    assert (fleet.pace(member, MISTRAL).token_s, fleet.pace(member, MISTRAL).load_s) == (0.02, 7.0)
    assert fleet.limit(member, LLAMA).slots == 1
    assert not fleet.pace(member, LLAMA).known


def test_a_limit_of_the_operators_does_not_make_the_slots_above_it_forgotten():
    desk = Desk()
    known = Served(unit=MISTRAL, digest="sha256:mistral:7b", slots=6)
    desk.tell(InstanceJoined(Instance(name="a", url="http://a", limit=InstanceLimit(2, 2, 2)), (known,)))
    desk.settle()
    desk.add(row(0))
    (attempt,) = desk.requests()
    desk.end(attempt, desk.well(attempt))

    assert desk.scheduler.fleet.limit(desk.member("a"), MISTRAL).slots == 2
    assert [served.slots for served in desk.member("a").learned()] == [6]


def answered(lengths, output, rows, **fields):
    for position in range(rows):
        lengths.observe(row(position, **fields), Usage(10, output), "stop")


def test_lengths_come_back_for_the_same_build_of_the_model_only(memory):
    scheduler = worked()
    answered(scheduler.lengths, 700, 40, family="long")
    keep(memory, scheduler)
    expected = scheduler.lengths.estimate(row(1, family="long")).output_tokens
    same, other = Lengths(), Lengths()
    memory.recall(scheduler.fleet, same)
    rebuilt = Desk("a", models={"a": ()}).scheduler
    memory.recall(rebuilt.fleet, other)

    assert same.estimate(row(1, family="long")).output_tokens == pytest.approx(expected, rel=0.2)
    assert same.version != Lengths().version, "an index that is sorted by estimates is sorted again"
    assert other.estimate(row(1, family="long")) == Lengths().estimate(row(1, family="long"))


def test_what_is_true_today_outweighs_what_was_remembered(memory):
    scheduler = worked()
    answered(scheduler.lengths, 2000, 5000, family="f")
    keep(memory, scheduler)
    lengths = Lengths()
    memory.recall(scheduler.fleet, lengths)
    answered(lengths, 20, 100, family="f")

    assert lengths.estimate(row(1, family="f")).output_tokens < 400


def test_that_slots_are_all_there_are_is_kept_with_them(memory):
    desk = Desk()
    known = Served(unit=MISTRAL, digest="sha256:mistral:7b", slots=4, tested=True)
    desk.tell(InstanceJoined(Instance(name="a", url="http://a"), (known,)))
    desk.settle()
    desk.add(row(0))
    desk.end(desk.requests()[0], success())
    keep(memory, desk.scheduler)

    assert [(served.slots, served.tested) for served in remembered(memory)] == [(4, True)]


def test_a_file_of_another_version_is_as_good_as_none(memory):
    keep(memory, worked())
    told = json.loads(memory.path.read_bytes())
    memory.path.write_text(json.dumps({**told, "version": told["version"] + 1}))

    assert remembered(memory) == ()
