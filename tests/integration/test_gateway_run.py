"""Other dialects under a whole batch: a gateway that serves one path and has bad habits, and an OpenAI-compatible server."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import (
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    started,
    stored_results,
    wait_committed,
    write_prompts,
    write_rows,
)

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=200.0)
PLAIN = {"timings": True, "streams": True}
TIGHT_LIPPED = {"timings": False, "streams": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


@pytest.mark.parametrize("habits", [PLAIN, TIGHT_LIPPED], ids=["streams", "no-timings-no-streams"])
def test_a_batch_runs_whole_behind_one_generate_path(folder: Path, habits: dict[str, bool]) -> None:
    with fake_fleet(1, 2, 4, gateway=habits, speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-m", "mistral:7b", "-i", f"{fleet.urls[0]}/api/generate")

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert "truncation cannot be excluded" in done.err
    assert "gateway" in done.err
    assert {entry.path for entry in fleet.requests()} == {"/api/generate"}
    assert len(fleet.requests()) == len(ASKED)
    assert len({entry.server for entry in fleet.requests()}) == 3
    assert all(body["options"]["num_predict"] > 0 for body in fleet.bodies if body["prompt"])
    assert_verified(folder)


def test_a_bare_gateway_address_is_found_out_and_rows_with_several_messages_are_unsupported(tmp_path: Path) -> None:
    one = [{"role": "user", "content": "Just one."}]
    write_rows(
        tmp_path,
        [{"prompt": "A"}, {"messages": [*one, {"role": "assistant", "content": "?"}, *one]}, {"messages": one}],
    )
    with fake_fleet(1, 1, gateway=PLAIN) as fleet:
        done = arriero(tmp_path, "run", "rows.jsonl", "-m", "mistral:7b", *fleet.flags)

    assert done.code == 3, done.err
    records = read_results(tmp_path)
    assert [record["status"] for record in records] == ["success", "failed", "success"]
    assert records[1]["failure"]["kind"] == "unsupported"
    assert records[2]["response"] == answer("Just one.")
    assert "serves only /api/generate" in done.err
    assert "rows with several messages end as unsupported" in done.err


def test_errors_that_come_as_200_are_seen_and_asked_again(folder: Path) -> None:
    faults = [Fault("status", at=(1, 4), status=500, text="something broke"), Fault("error_mid", at=(6,))]
    with fake_fleet(2, 2, gateway=PLAIN, each=[{"faults": faults}, {}]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert sum(bool(entry.fault) for entry in fleet.requests()) == 3


def test_a_batch_behind_a_gateway_that_is_killed_goes_on_with_the_same_command(folder: Path) -> None:
    with fake_fleet(1, 2, gateway=TIGHT_LIPPED, speed=SLOW) as fleet:
        words = ("run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)
        with started(folder, *words) as running:
            wait_committed(folder, 6, running)
            running.end(signal.SIGKILL)
        kept = {one.position: one.attempt_name for one in stored_results(folder)}
        fleet.calm()
        again = arriero(folder, *words)
    after = {one.position: one.attempt_name for one in stored_results(folder)}

    assert again.code == 0, again.err
    assert f"{len(kept)} ended before" in again.err
    assert kept.items() <= after.items()
    assert_answered(read_results(folder), ASKED)
    completed = {entry.attempt for entry in fleet.requests("completed")}
    assert set(after.values()) <= completed
    assert_verified(folder)


def test_without_a_model_a_gateway_that_lists_nothing_asks_for_one(folder: Path) -> None:
    with fake_fleet(1, gateway=PLAIN) as fleet:
        refused = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert refused.code == 2
    assert "the instances list none" in refused.err
    assert "-m MODEL" in refused.err
    assert not [entry for entry in fleet.entries if entry.purpose]


def test_a_model_that_a_gateway_lacks_is_told_as_missing(folder: Path) -> None:
    with fake_fleet(1, gateway=PLAIN) as fleet:
        arriero(folder, "run", "prompts.txt", "-m", "qwen3:8b", "--first", "3", *fleet.flags)

    assert not fleet.requests("completed")
    assert {record["failure"]["kind"] for record in read_results(folder)} == {"model_missing"}


def test_a_gateway_that_goes_down_is_paused_and_used_again(folder: Path) -> None:
    with fake_fleet(2, gateway=PLAIN, speed=SLOW) as fleet:
        assert fleet.gateway is not None
        with started(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags) as running:
            wait_committed(folder, 4, running)
            fleet.do(fleet.gateway.__aexit__())
            running.until_said("no usable instance")
            fleet.do(fleet.gateway.__aenter__())
            fleet.calm()
            done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)


@pytest.mark.parametrize("path", ["/v1", ""], ids=["named", "found-out"])
def test_an_openai_compatible_server_runs_whole_and_resumes(folder: Path, path: str) -> None:
    (folder / "fleet.toml").write_text("")
    with fake_fleet(2, 2, serves=("/v1/",), api_key="sesame", speed=SLOW) as fleet:
        tables = [f'[[instance]]\nurl = "{url}{path}"\napi_key_env = "MY_KEY"\n' for url in fleet.urls]
        (folder / "fleet.toml").write_text("".join(tables))
        words = ("run", "prompts.txt", "--fleet", "fleet.toml", "-s", "Be brief.")
        with started(folder, *words, env={"MY_KEY": "sesame"}) as running:
            wait_committed(folder, 4, running)
            running.end(signal.SIGKILL)
        kept = len(stored_results(folder))
        fleet.calm()
        done = arriero(folder, *words, env={"MY_KEY": "sesame"})
        keyless = arriero(folder, "run", "prompts.txt", "-o", "no.json", "--fleet", "fleet.toml")

    assert done.code == 0, done.err
    assert f"{kept} ended before" in done.err
    assert_answered(read_results(folder), ASKED)
    assert {entry.path for entry in fleet.requests()} == {"/v1/chat/completions"}
    assert keyless.code == 2
    assert "MY_KEY" in keyless.err
    assert "sesame" not in done.err + keyless.err
    assert_verified(folder)


def test_runner_options_that_a_v1_server_does_not_take_are_noted_once(folder: Path) -> None:
    options = ("-O", "num_ctx=2048", "-O", "temperature=0", "-O", "num_thread=2")
    with fake_fleet(1, 1, 1, each=[{}, {"serves": ("/v1/",)}, {"serves": ("/v1/",)}]) as fleet:
        one = arriero(folder, "run", "prompts.txt", "--first", "3", *options, *fleet.flags[:4])
        two = arriero(folder, "run", "prompts.txt", "-o", "2.json", "--first", "3", *options, *fleet.flags)
        none = arriero(folder, "run", "prompts.txt", "-o", "3.json", "--first", "3", *options, *fleet.flags[:2])

    said = "no num_ctx, num_thread: a /v1 server is given that at its own start"
    assert [done.code for done in (one, two, none)] == [0, 0, 0]
    assert one.err.count(f"note       {fleet.urls[1]} takes {said}\n") == 1
    assert two.err.count(f"note       {fleet.urls[1]} and 1 more take {said}\n") == 1
    assert "takes no" not in none.err
