"""Faults of servers under a whole batch: what fails goes elsewhere, nothing is lost, and the exit code says how it ended."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import (
    Fleet,
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    started,
    wait_committed,
    write_prompts,
)

from arriero.journal.reader import JournalReader

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(60)
SLOW = Speed(decode_tokens_per_s=150.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def failed_attempts(folder: Path) -> dict[str, int]:
    """Attempts that failed on the way, by kind."""
    with JournalReader(folder / "results.json.journal") as reader:
        return reader.attempt_kinds()


def test_one_of_three_dies_in_the_middle_comes_back_and_no_request_fails(folder: Path) -> None:
    with fake_fleet(2, 2, 2, speed=SLOW) as fleet:
        dying = fleet.servers[1]
        with started(folder, "run", "prompts.txt", "-c", "auto", *fleet.flags) as running:
            fleet.until_completed(12)
            for server in fleet.servers:
                server.speed = Speed(decode_tokens_per_s=20.0)  # it must come back before the others have done it all
            fleet.do(dying.stop())
            running.until_said("ejected")
            before = len(dying.log.entries)
            fleet.do(dying.start())
            fleet.until(lambda _: any(one.purpose == "request" for one in list(dying.log.entries)[before:]))
            fleet.calm()
            done = running.end()

    assert done.code == 0, done.err
    assert f"{dying.url.removeprefix('http://')} ejected: unreachable" in done.err
    assert "back, at one request first" in done.err
    assert_answered(read_results(folder), ASKED)
    assert failed_attempts(folder).keys() == {"unreachable"}
    assert_verified(folder)


def test_every_way_to_answer_wrongly_is_seen_and_the_request_goes_elsewhere(folder: Path) -> None:
    wrong = [
        [Fault("html", at=(1,)), Fault("error_200", at=(2,)), Fault("reset", at=(3,))],
        [Fault("half_json", at=(1,)), Fault("no_done", at=(2,)), Fault("status", at=(3,), status=500)],
        [Fault("wrong_model", at=(1,)), Fault("close_mid", at=(2,)), Fault("error_mid", at=(3,))],
    ]
    each = [{"faults": faults} for faults in wrong]
    with fake_fleet(2, 2, 2, each=each, speed=Speed(decode_tokens_per_s=400.0)) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-c", "9", *fleet.flags)  # three for each at once

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    played = {entry.fault for entry in fleet.requests() if entry.fault}
    assert played == {fault.kind for faults in wrong for fault in faults}
    kinds = failed_attempts(folder)
    assert sum(kinds.values()) == 9
    assert kinds.keys() == {"bad_reply", "unreachable", "server_error"}
    assert_verified(folder)


def test_a_hanging_server_is_given_up_after_the_timeout_and_the_others_answer(folder: Path) -> None:
    hangs = {"faults": [Fault("hang", at=(1,)), Fault("hang_mid", at=(4,))]}
    with fake_fleet(2, 2, each=[hangs, {}], speed=Speed(decode_tokens_per_s=400.0)) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--timeout", "1s", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert failed_attempts(folder).get("timeout", 0) >= 1


def test_a_row_that_crashes_model_processes_is_quarantined_and_its_neighbours_succeed(folder: Path) -> None:
    asked = [*ASKED[:20], "Read the POISON.", *ASKED[20:40]]
    write_prompts(folder, asked)
    with fake_fleet(2, 2, faults=[Fault("crash", contains="POISON", after_tokens=1)], speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert done.code == 3, done.err
    records = read_results(folder)
    assert [record["prompt"] for record in records if record["status"] == "failed"] == ["Read the POISON."]
    assert records[20]["failure"]["kind"] == "poison"
    assert sum(entry.fault == "crash" for entry in fleet.requests()) == 3
    assert_answered([*records[:20], *records[21:]], ASKED[:40])
    assert "poison 1" in done.err
    assert_verified(folder)


def test_an_overloaded_server_is_waited_for_as_long_as_it_asks_and_no_attempt_is_charged(folder: Path) -> None:
    busy = [
        Fault("status", at=(2,), status=429, text="slow down", retry_after="1"),
        Fault(
            "status", at=(5, 6), status=503, text="server busy, please try again.  maximum pending requests exceeded"
        ),
    ]
    with fake_fleet(2, faults=busy) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--retries", "0", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    asked = next(entry for entry in fleet.requests() if entry.status == 429)
    after = sorted(entry.started for entry in fleet.requests() if entry.started > (asked.ended or 0.0) + 0.1)
    assert after[0] - asked.started >= 1.0
    assert failed_attempts(folder) == {"overloaded": 3}


@pytest.mark.parametrize("fault", [Fault("status", status=401), Fault("redirect")], ids=lambda fault: fault.kind)
def test_an_instance_that_refuses_us_is_left_alone_with_a_hint_and_the_other_does_it_all(
    folder: Path, fault: Fault
) -> None:
    with fake_fleet(2, 2, 2, each=[{}, {}, {"models": []}]) as fleet:
        fault.location = f"{fleet.servers[2].url}/api/chat"
        fleet.servers[0].script.faults = [fault]
        done = arriero(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert ("api_key_env" if fault.kind == "status" else "give the address it points to") in done.err
    assert not fleet.servers[2].bodies, "a redirect is never followed"


def test_all_instances_that_refuse_us_in_the_middle_end_the_batch_at_once_and_it_can_be_resumed(folder: Path) -> None:
    with fake_fleet(1, 1, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", *fleet.flags) as running:
            wait_committed(folder, 4, running)
            for server in fleet.servers:
                server.script.faults = [Fault("status", status=401)]
            began = time.monotonic()
            stopped = running.end()
            took_s = time.monotonic() - began
        fleet.calm()
        resumed = arriero(folder, "resume")

    assert stopped.code == 5, stopped.err
    assert "every instance refuses us" in stopped.err
    assert "arriero resume results.json" in stopped.err
    assert took_s < 5
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)
    assert len(fleet.requests("completed")) == len(ASKED)


def test_an_outage_longer_than_max_wait_stops_the_batch_which_can_be_resumed(folder: Path) -> None:
    with fake_fleet(1, 1, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "--max-wait", "2s", *fleet.flags) as running:
            wait_committed(folder, 4, running)
            for server in fleet.servers:
                fleet.do(server.stop())
            stopped = running.end()
        kept = len(read_results(folder, "results.json.partial"))
        for server in fleet.servers:
            fleet.do(server.start())
        fleet.calm()
        resumed = arriero(folder, "resume")

    assert stopped.code == 5, stopped.err
    assert "no usable instance: probing up to" in stopped.err
    assert "--max-wait" in stopped.err
    assert 4 <= kept < len(ASKED)
    assert "0 failed" in stopped.err
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_a_short_outage_of_everything_is_waited_out(folder: Path) -> None:
    with fake_fleet(2, speed=SLOW) as fleet, started(folder, "run", "prompts.txt", *fleet.flags) as running:
        wait_committed(folder, 4, running)
        fleet.do(fleet.servers[0].stop())
        running.until_said("no usable instance")
        fleet.do(fleet.servers[0].start())
        running.until_said("work goes on")
        fleet.calm()
        done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)


def refusals(fleet: Fleet, text: str) -> None:
    for server in fleet.servers:
        server.script.faults = [Fault("status", contains=text, status=400, text="invalid words")]


def test_an_error_budget_stops_the_batch_with_its_own_code_and_a_retry_can_go_on(folder: Path) -> None:
    with fake_fleet(1) as fleet:
        refusals(fleet, "number 1")
        stopped = arriero(folder, "run", "prompts.txt", "--max-errors", "3", "-c", "2", *fleet.flags)
        partial = read_results(folder, "results.json.partial")
        fleet.calm()
        resumed = arriero(folder, "retry", "--max-errors", "3")

    assert stopped.code == 4, stopped.err
    assert "more requests failed than --max-errors allows" in stopped.err
    failed = sum(record["status"] == "failed" for record in partial)
    assert 4 <= failed <= 3 + 2, "what ran beside the fourth"
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)


def test_whoever_goes_on_after_an_error_budget_has_it_anew(folder: Path) -> None:
    with fake_fleet(1) as fleet:
        refusals(fleet, "number 1")
        arriero(folder, "run", "prompts.txt", "--max-errors", "3", "-c", "1", *fleet.flags)
        once = len(fleet.requests())
        again = arriero(folder, "resume")

    assert again.code == 4, again.err
    assert len(fleet.requests()) > once + 3


def test_nothing_starts_after_the_failure_that_is_one_too_many(folder: Path) -> None:
    """Each failure but the last lets one more start, so that 3 and what may run at once is all that is ever sent."""
    with fake_fleet(8) as fleet:
        refusals(fleet, "number")
        stopped = arriero(folder, "run", "prompts.txt", "--max-errors", "3", "-c", "8", *fleet.flags)
        partial = read_results(folder, "results.json.partial")

    assert stopped.code == 4, stopped.err
    assert 4 <= len(fleet.requests()) <= 3 + 8
    assert len([record for record in partial if record["status"] == "failed"]) == len(fleet.requests())


def test_without_retries_one_failure_is_a_failed_result(folder: Path) -> None:
    with fake_fleet(2, faults=[Fault("html", contains="number 3.")]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--retries", "0", "--first", "6", *fleet.flags)

    assert done.code == 3, done.err
    failed = read_results(folder)[3]
    assert (failed["failure"]["kind"], failed["attempts"]) == ("bad_reply", 1)
    assert sum(entry.fault == "html" for entry in fleet.requests()) == 1


def test_retries_are_bounded_and_their_number_is_told(folder: Path) -> None:
    with fake_fleet(1, 1, 1, faults=[Fault("error_200", contains="number 3.")]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--retries", "2", "--first", "6", *fleet.flags)

    assert done.code == 3, done.err
    assert read_results(folder)[3]["attempts"] == 3
    asked = [entry for entry in fleet.requests() if entry.fault]
    assert len(asked) == 3
    assert len({entry.server for entry in asked}) == 3, "each retry goes to another instance"


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0"])
def test_a_prompt_that_does_not_fit_ends_as_too_long_and_is_never_cut(folder: Path, version: str) -> None:
    asked = [*ASKED[:5], "word " * 2000, *ASKED[5:10]]
    write_prompts(folder, [line.strip() for line in asked])
    with fake_fleet(2, version=version, context=1024) as fleet:
        done = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert done.code == 3, done.err
    records = read_results(folder)
    assert records[5]["failure"]["kind"] == "too_long"
    assert_answered([*records[:5], *records[6:]], ASKED[:10])
    assert all(body["truncate"] is False for body in fleet.bodies if body["messages"])


def test_every_request_asks_for_what_the_design_promises_and_the_model_is_loaded_once(folder: Path) -> None:
    with fake_fleet(2, 2, context=2048) as fleet:
        words = ("-O", "num_ctx=2048", "-O", "num_batch=256", "-O", "temperature=0")
        done = arriero(folder, "run", "prompts.txt", *words, *fleet.flags)
        unasked = arriero(folder, "run", "prompts.txt", "-o", "other.json", *fleet.flags)

    assert done.code == unasked.code == 0, done.err + unasked.err
    sent = [body for body in fleet.bodies if body["messages"]]
    assert len(sent) == 2 * len(ASKED)
    for body in sent:
        assert body["truncate"] is False
        assert body["options"]["num_predict"] > 0
        assert body["think"] is False
        assert body["stream"] is True
        assert not {"keep_alive", "shift"} & body.keys()
    runner = {
        json.dumps({k: v for k, v in body["options"].items() if k not in ("num_predict", "temperature")})
        for body in sent
    }
    assert runner == {'{"num_batch": 256, "num_ctx": 2048}', "{}"}
    assert all(server.loader.loads in (["mistral:7b"] * 2, ["mistral:7b"]) for server in fleet.servers)
    assert all(record["response"] == answer(record["prompt"]) for record in read_results(folder))
