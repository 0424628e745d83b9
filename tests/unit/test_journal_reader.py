from __future__ import annotations

import random

import apsw
import msgspec
import pytest
from journal_rows import BINDING, UNIT, Ear, answered, attempt_failed, failed, opened, request, upkeep, write
from msgspec import structs

from arriero.core.events import AttemptStarted, FleetChanged, InstanceChanged, Noted
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Result
from arriero.errors import StorageError
from arriero.journal.reader import PAGE_ROWS, JournalReader
from arriero.journal.rounds import retry
from arriero.journal.statements import statement
from arriero.journal.stored import StoredResult


def test_results_come_in_input_order_over_several_pages(tmp_path):
    positions = list(range(PAGE_ROWS * 2 + 7))
    random.Random(4).shuffle(positions)
    write(tmp_path / "j", [failed(p) if p % 5 == 0 else answered(p) for p in positions])
    with JournalReader(tmp_path / "j") as reader:
        results = list(reader.results())
        assert [r.position for r in results] == sorted(positions)
        assert [r.succeeded for r in results] == [p % 5 != 0 for p in sorted(positions)]
        assert [r.position for r in reader.failures()] == [p for p in sorted(positions) if p % 5 == 0]
        assert [r.position for r in reader.results(after=401)] == [p for p in sorted(positions) if p > 401]


def test_everything_an_output_needs_comes_back(tmp_path):
    outcome = Success(
        text="déjà\x00vu 🦙\u2028",
        finish_reason="length",
        usage=Usage(3, None),
        timing=Timing(1.5, 0.25, load_s=0.1),
        model="served",
        thinking="hm",
        embeddings=msgspec.Raw(b"[[1.5,2]]"),
        logprobs=msgspec.Raw(b'{"a":[1]}'),
    )
    given = Result(request=request(4), outcome=outcome, instance="gpu-01", attempt=17, attempts=2, ended_at=9.5)
    ear = write(tmp_path / "j", [given, failed(5, FailureKind.TOO_LONG)])
    with JournalReader(tmp_path / "j") as reader:
        good, bad = reader.results()
        session = reader.sessions()[0].name

    assert ear.kept == [4, 5]
    assert (good.text, good.finish_reason, good.usage) == (outcome.text, "length", Usage(3, None))
    assert (good.timing, good.latency_s, good.thinking) == (outcome.timing, 1.5, "hm")
    assert (bytes(good.embeddings), bytes(good.logprobs)) == (b"[[1.5,2]]", b'{"a":[1]}')
    assert (good.id, good.model, good.instance, good.attempts, good.ended_at) == ("row-4", UNIT.model, "gpu-01", 2, 9.5)
    assert (good.attempt_name, good.kind, good.detail) == (f"{session}-17", None, "")
    assert (bad.text, bad.usage, bad.kind, bad.detail) == (None, None, FailureKind.TOO_LONG, "the server's words")
    assert (bad.latency_s, bad.timing, bad.finish_reason, bad.embeddings) == (3.0, None, None, None)
    assert isinstance(bad.outcome, Failure)


def test_a_reader_works_while_the_writer_writes(tmp_path):
    with opened(tmp_path / "j") as journal:
        ear = Ear(journal)
        with JournalReader(tmp_path / "j") as reader:
            for position in range(3):
                journal.record([answered(position)], [])
                ear.wait(position + 1)
                assert reader.counts().succeeded == position + 1
                assert [r.position for r in reader.results()] == list(range(position + 1))


def test_a_result_is_told_at_once_as_the_journal_will_give_it_back(tmp_path):
    results = [answered(0), failed(1), answered(2, round_=0)]
    write(tmp_path / "j", results)
    with JournalReader(tmp_path / "j") as reader:
        stored = [structs.replace(one, session="") for one in reader.results()]

    assert [StoredResult.of(result) for result in results] == stored


def test_a_reader_of_a_journal_at_rest_leaves_no_file_and_needs_no_right_to_write(tmp_path):
    write(tmp_path / "j", [answered(0)])
    (tmp_path / "j").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with JournalReader(tmp_path / "j") as reader:
            assert reader.counts().succeeded == 1
            assert [p.name for p in tmp_path.iterdir()] == ["j"]
    finally:
        tmp_path.chmod(0o700)


def test_a_reader_inside_does_not_keep_the_writer_from_its_end(tmp_path):
    write(tmp_path / "j", [answered(p) for p in range(PAGE_ROWS * 2)])
    with JournalReader(tmp_path / "j") as reader:
        results = reader.results()
        next(results)
        write(tmp_path / "j", [answered(PAGE_ROWS * 2)])
        assert sum(1 for _ in results) == PAGE_ROWS * 2
    write(tmp_path / "j", [])
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_attempts_and_notices_come_back_in_order(tmp_path):
    noted = Noted("context_unknown", "gpu-01", 1.0)
    changed = InstanceChanged(name="gpu-02", state="ejected", reason="timeout", unit=UNIT, probe_in_s=5.0, at=2.0)
    started = AttemptStarted(attempt_failed(1).attempt, 1.0)
    write(
        tmp_path / "j", [], [started, noted, attempt_failed(1), upkeep(), changed, FleetChanged(usable=False, at=3.0)]
    )
    with JournalReader(tmp_path / "j") as reader:
        request_attempt, discover = reader.attempts()
        notices = list(reader.notices())
        kinds = reader.attempt_kinds()

    assert (request_attempt.position, request_attempt.kind, request_attempt.charged) == (1, FailureKind.TIMEOUT, True)
    assert (request_attempt.unit, request_attempt.detail, request_attempt.purpose) == (UNIT, "foreign", "request")
    assert (discover.position, discover.unit, discover.kind, discover.latency_s) == (None, None, None, 0.5)
    assert [n.name for n in notices] == ["Noted", "InstanceChanged", "FleetChanged"]
    assert msgspec.json.decode(notices[1].body, type=InstanceChanged) == changed
    assert kinds == {"timeout": 1}


def test_sessions_settings_binding_and_kinds_come_back(tmp_path):
    path = tmp_path / "j"
    write(path, [failed(0), failed(1, FailureKind.POISON), failed(2)])
    write(path, [])
    with JournalReader(path) as reader:
        first, second = reader.sessions()
        assert first.name != second.name
        assert len(first.name) == 12
        assert first.command == "arriero run prompts.txt"
        assert first.ended_wall_s >= first.started_wall_s
        assert reader.settings() == b'{"retries":4}'
        assert reader.binding() == BINDING
        assert reader.failure_kinds() == {"poison": 1, "timeout": 2}


def test_a_prompt_is_never_in_the_file(tmp_path):
    write(tmp_path / "j", [answered(0), failed(1)], [attempt_failed(2)])
    assert b"never stored" not in (tmp_path / "j").read_bytes()


def test_a_missing_journal_and_a_missing_batch_are_said(tmp_path):
    with pytest.raises(StorageError, match="There is no journal"):
        JournalReader(tmp_path / "j")
    write(tmp_path / "j", [])
    with JournalReader(tmp_path / "j") as reader, pytest.raises(StorageError, match="no batch 7"):
        reader.batch(7)


@pytest.mark.parametrize("name", ["results", "failures", "hashes", "attempts", "events"])
def test_a_page_is_found_by_its_key_and_never_sorted(tmp_path, name):
    write(tmp_path / "j", [])
    connection = apsw.Connection(str(tmp_path / "j"), flags=apsw.SQLITE_OPEN_READONLY)
    sql = statement(name)
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, [1] * sql.count("?"))]
    connection.close()

    assert plan[0].startswith("SEARCH")
    assert not [step for step in plan if "TEMP B-TREE" in step]


def test_failed_ends_of_two_rounds_come_once_each_over_several_pages(tmp_path):
    rows = PAGE_ROWS + 7
    for round_ in (0, 1):
        write(tmp_path / "j", [failed(position, round_=round_) for position in range(rows)])
        assert retry(tmp_path / "j") == rows
    with JournalReader(tmp_path / "j") as reader:
        ends = [(end.round, end.position) for end in reader.history()]

    assert ends == [(round_, position) for round_ in (0, 1) for position in range(rows)]


def test_each_attempt_comes_once_over_several_pages(tmp_path):
    write(tmp_path / "j", [], [attempt_failed(position) for position in range(PAGE_ROWS * 2 + 7)])
    with JournalReader(tmp_path / "j") as reader:
        assert [attempt.position for attempt in reader.attempts()] == list(range(PAGE_ROWS * 2 + 7))
