"""Inputs through the whole command: rows of every form, bad lines, and what a second run accepts or refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_ollama import Fault, Model, answer
from fake_ollama.listings import vector
from running import (
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    started,
    stored_results,
    write_prompts,
    write_rows,
)

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(12)


def test_jsonl_rows_bring_their_own_prompt_turns_options_and_fields(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    rows = [
        {"prompt": "one", "id": "a", "topic": "rivers"},
        {"messages": [*turns, {"role": "user", "content": "two"}], "options": {"temperature": 0.5}},
        {"prompt": "three", "model": "llama3.2:3b", "max_tokens": 2, "system": "Brief."},
        {"prompt": "four", "format": "json"},
    ]
    write_rows(tmp_path, rows)
    with fake_fleet(2, models=["mistral:7b", "llama3.2:3b"]) as fleet:
        done = arriero(tmp_path, "run", "rows.jsonl", "-o", "out.jsonl", "-m", "mistral:7b", *fleet.flags)

    assert done.code == 0, done.err
    records = read_results(tmp_path, "out.jsonl")
    assert [record["prompt"] for record in records] == ["one", "two", "three", "four"]
    assert [record["id"] for record in records] == ["a", "2", "3", "4"]
    assert records[0]["topic"] == "rivers"
    assert records[1]["response"] == answer("two")
    assert len(records[1]["messages"]) == 3
    assert (records[2]["model"], records[2]["finish_reason"]) == ("llama3.2:3b", "length")
    assert json.loads(records[3]["response"]).keys() == {"answer"}
    sent = {body["messages"][-1]["content"]: body for body in fleet.bodies if body["messages"]}
    assert sent["two"]["options"]["temperature"] == 0.5
    assert sent["three"]["options"]["num_predict"] == 2
    assert "1 answer is cut at the token limit" in done.err
    assert_verified(tmp_path, "out.jsonl")


def test_openai_batch_lines_become_an_output_and_an_error_file(tmp_path: Path) -> None:
    turns = {"model": "mistral:7b", "messages": [{"role": "user", "content": "Say one."}], "max_tokens": 20}
    line = {"method": "POST", "url": "/v1/chat/completions"}
    image = {
        **turns,
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}],
    }
    rows = [{"custom_id": "first", **line, "body": turns}, {"custom_id": "second", **line, "body": image}]
    write_rows(tmp_path, rows)
    with fake_fleet(1) as fleet:
        done = arriero(tmp_path, "run", "rows.jsonl", "-o", "out.jsonl", "--format", "openai", *fleet.flags)

    assert done.code == 3, done.err
    (good,) = read_results(tmp_path, "out.jsonl")
    (bad,) = read_results(tmp_path, "out.errors.jsonl")
    assert (good["custom_id"], bad["custom_id"]) == ("first", "second")
    assert good["response"]["body"]["choices"][0]["message"]["content"] == answer("Say one.")
    assert bad["response"] is None or bad["error"] is not None
    assert "out.errors.jsonl" in done.err
    assert {entry.path for entry in fleet.requests()} == {"/api/chat"}
    assert_verified(tmp_path, "out.jsonl")


def test_the_files_of_an_openai_batch_name_it_as_well_as_the_output_that_was_given(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"prompt": "one"}, {"prompt": "two"}])
    with fake_fleet(1, faults=[Fault("status", contains="two", status=400, text="no")]) as fleet:
        words = ("run", "rows.jsonl", "-o", "v.json", "--format", "openai", *fleet.flags)
        done = arriero(tmp_path, *words)
        names = ("v.json", "v.jsonl", "v.errors.jsonl")
        told = [arriero(tmp_path, command, name) for command in ("status", "errors", "verify") for name in names]
        fleet.calm()
        retried = arriero(tmp_path, "retry", "v.errors.jsonl")
        missing = arriero(tmp_path, "status", "w.jsonl")

    assert done.code == 3, done.err
    assert [one.code for one in told] == [0] * len(told), told
    assert retried.code == 0, retried.err
    assert {path.name for path in tmp_path.glob("v.*")} == {"v.json.journal", "v.jsonl", "v.errors.jsonl"}
    assert missing.code == 2
    assert "w.jsonl.journal" in missing.err


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0"])
def test_embeddings_of_a_model_that_does_nothing_else_are_asked_for_and_its_change_is_clean(
    tmp_path: Path, version: str
) -> None:
    texts = [{"url": "/v1/embeddings", "body": {"model": "nomic:1b", "input": f"text {n}"}} for n in range(6)]
    turn = {
        "url": "/v1/chat/completions",
        "body": {"model": "mistral:7b", "messages": [{"role": "user", "content": "A"}]},
    }
    rows = [{"custom_id": str(n), "method": "POST", **row} for n, row in enumerate([*texts, turn])]
    write_rows(tmp_path, rows)
    models = [Model("nomic:1b", ("embedding",)), "mistral:7b"]
    with fake_fleet(2, version=version, models=models) as fleet:
        done = arriero(tmp_path, "run", "rows.jsonl", "-o", "out.jsonl", "--format", "openai", *fleet.flags)

    assert done.code == 0, done.err
    *embedded, said = [record["response"]["body"] for record in read_results(tmp_path, "out.jsonl")]
    assert [body["data"][0]["embedding"] for body in embedded] == [vector(f"text {n}") for n in range(6)]
    assert said["choices"][0]["message"]["content"] == answer("A")
    assert sorted(fleet.servers[0].loader.loads) == ["mistral:7b", "nomic:1b"]
    assert {(one.how, one.status) for one in fleet.entries} == {("completed", 200)}
    assert_verified(tmp_path, "out.jsonl")


def test_standard_input_is_kept_and_resumed_without_being_piped_again(tmp_path: Path) -> None:
    piped = "".join(f"{prompt}\n" for prompt in ASKED)
    with fake_fleet(1) as fleet:
        words = ("run", "-", "-o", "out.jsonl", *fleet.flags)
        first = arriero(tmp_path, *words, "--first", "5", stdin=piped)
        rest = arriero(tmp_path, "resume", "out.jsonl")
        whole = arriero(tmp_path, *words, stdin=piped)

    assert (first.code, rest.code, whole.code) == (0, 0, 0), first.err + rest.err + whole.err
    assert "nothing to do" in rest.err
    assert_answered(read_results(tmp_path, "out.jsonl"), ASKED)
    assert len(fleet.requests("completed")) == len(ASKED)
    assert_verified(tmp_path, "out.jsonl")


def test_other_rows_on_standard_input_are_refused_and_do_not_cost_the_batch_its_own(tmp_path: Path) -> None:
    piped = "".join(f"{prompt}\n" for prompt in ASKED)
    with fake_fleet(1) as fleet:
        words = ("run", "-", "-o", "out.jsonl", *fleet.flags)
        arriero(tmp_path, *words, stdin=piped)
        refused = arriero(tmp_path, *words, stdin=piped.replace("number 3.", "number three."))
        resumed = arriero(tmp_path, "resume", "out.jsonl")
        appended = arriero(tmp_path, *words, stdin=piped + "One more.\n")

    assert refused.code == 2
    assert "<stdin>:4: the row has changed" in refused.err
    assert resumed.code == 0, resumed.err
    assert appended.code == 0, appended.err
    assert_answered(read_results(tmp_path, "out.jsonl"), [*ASKED, "One more."])
    assert_verified(tmp_path, "out.jsonl")


def test_the_first_rows_then_all_then_appended_ones_are_each_sent_once(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED[:8])
    with fake_fleet(1) as fleet:
        words = ("run", "prompts.txt", *fleet.flags)
        first = arriero(tmp_path, *words, "--first", "3")
        assert_answered(read_results(tmp_path), ASKED[:3])
        everything = arriero(tmp_path, *words)
        assert_answered(read_results(tmp_path), ASKED[:8])
        again = arriero(tmp_path, *words)
        write_prompts(tmp_path, ASKED)
        appended = arriero(tmp_path, *words)

    assert [one.code for one in (first, everything, again, appended)] == [0, 0, 0, 0], appended.err
    assert "nothing to do: all 8 requests" in again.err
    assert "4 appended since" in appended.err
    assert_answered(read_results(tmp_path), ASKED)
    assert len(fleet.requests()) == len(ASKED)
    assert_verified(tmp_path)


def test_a_changed_row_is_refused_with_its_line_and_nothing_is_sent(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(1) as fleet:
        words = ("run", "prompts.txt", *fleet.flags)
        arriero(tmp_path, *words)
        sent = len(fleet.requests())
        write_prompts(tmp_path, [*ASKED[:6], "Something else.", *ASKED[7:]])
        refused = arriero(tmp_path, *words)
        checked = arriero(tmp_path, "verify")

    assert refused.code == 2
    assert "prompts.txt:7" in refused.err
    assert len(fleet.requests()) == sent
    assert checked.code == 7
    assert "BAD   P8  input" in checked.out


CHANGES = {
    "model": ("-m", "llama3.2:3b"),
    "options": ("-m", "mistral:7b", "-O", "temperature=1"),
    "prompt": ("-m", "mistral:7b", "--prompt", "Say: {prompt}"),
}


def test_what_a_batch_is_bound_to_cannot_change_and_what_it_is_not_can(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(1, models=["mistral:7b", "llama3.2:3b"]) as fleet:
        words = ("run", "prompts.txt", *fleet.flags)
        arriero(tmp_path, *words, "-m", "mistral:7b", "--first", "2")
        refused = {name: arriero(tmp_path, *words, *more) for name, more in CHANGES.items()}
        sent = len(fleet.requests())
        allowed = arriero(tmp_path, *words, "-m", "mistral:7b", "-c", "2", "--retries", "0", "--timeout", "2m")

    for name, one in refused.items():
        assert one.code == 2, one.err
        assert f"  {name}: was " in one.err
        assert "--force" in one.err
    assert sent == 2
    assert allowed.code == 0, allowed.err
    assert_answered(read_results(tmp_path), ASKED)


def test_force_moves_output_and_journal_aside_and_begins_anew(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(1) as fleet:
        words = ("run", "prompts.txt", *fleet.flags)
        arriero(tmp_path, *words)
        before = (tmp_path / "results.json").read_bytes()
        anew = arriero(tmp_path, *words, "-O", "num_predict=3", "--force")
        (tmp_path / "other.json").write_text("mine")
        foreign = arriero(tmp_path, *words, "-o", "other.json")

    assert anew.code == 0, anew.err
    assert "aside      results.json is now results.json.1" in anew.err
    assert (tmp_path / "results.json.1").read_bytes() == before
    assert [record["usage"]["output_tokens"] for record in read_results(tmp_path)] == [3] * len(ASKED)
    assert len(stored_results(tmp_path, "results.json.journal.1")) == len(ASKED)
    assert foreign.code == 2
    assert "--force" in foreign.err
    assert (tmp_path / "other.json").read_text() == "mine"


def test_duplicate_ids_are_refused_with_both_lines(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"prompt": prompt, "id": str(number % 9)} for number, prompt in enumerate(ASKED)])
    with fake_fleet(1) as fleet:
        refused = arriero(tmp_path, "run", "rows.jsonl", *fleet.flags)

    assert refused.code == 2
    assert "rows.jsonl:10" in refused.err
    assert "line 1" in refused.err
    assert not fleet.requests()


def test_a_bad_line_stops_the_batch_before_it_is_sent_or_becomes_a_failed_result(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": ASKED[0]}), '{"prompt": ', json.dumps({"prompt": ASKED[1]}), '{"text": "x"}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    with fake_fleet(1) as fleet:
        words = ("run", "rows.jsonl", *fleet.flags)
        stopped = arriero(tmp_path, *words)
        sent = len(fleet.requests())
        failed = arriero(tmp_path, *words, "--on-bad-line", "fail")
        told = arriero(tmp_path, "errors", "results.json", "--json").json

    assert stopped.code == 2
    assert "rows.jsonl:2:" in stopped.err
    assert sent == 0
    assert failed.code == 3, failed.err
    records = read_results(tmp_path)
    assert [record["status"] for record in records] == ["success", "failed", "success", "failed"]
    assert [record.get("line") for record in records] == [None, 2, None, 4]
    assert (told["failed"], told["groups"][0]["kind"]) == (2, "rejected")
    assert "arriero errors results.json" in failed.err
    assert_verified(tmp_path)


@pytest.mark.parametrize("text", ["", "\n  \n"], ids=["empty", "blank"])
def test_an_empty_input_is_no_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "prompts.txt").write_text(text)
    with fake_fleet(1) as fleet:
        done = arriero(tmp_path, "run", "prompts.txt", *fleet.flags)

    assert done.code == 0, done.err
    assert "0 rows" in done.err
    assert read_results(tmp_path) == []
    assert not fleet.requests()


def test_a_missing_input_leaves_nothing_behind(tmp_path: Path) -> None:
    with fake_fleet(1) as fleet:
        refused = arriero(tmp_path, "run", "nowhere.txt", *fleet.flags)

    assert refused.code == 2
    assert "nowhere.txt" in refused.err
    assert [path.name for path in tmp_path.iterdir() if path.name != ".home"] == []


def test_an_input_that_shrinks_while_it_is_read_ends_with_a_message_and_keeps_what_was_told(tmp_path: Path) -> None:
    asked = write_prompts(tmp_path, 9000)
    with fake_fleet(4) as fleet, started(tmp_path, "run", "prompts.txt", *fleet.flags) as running:
        fleet.until_completed(20)
        write_prompts(tmp_path, asked[:4500])
        done = running.end()

    assert done.code == 2, done.err
    assert "prompts.txt" in done.err
    assert "Traceback" not in done.err
    kept = stored_results(tmp_path)
    assert {one.text for one in kept} == {answer(asked[one.position]) for one in kept}


def test_another_input_for_the_same_output_is_told_as_such_and_a_renamed_one_is_accepted(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    write_prompts(tmp_path, ["Something else.", "And more."], "other.txt")
    write_prompts(tmp_path, [*ASKED, "One more."], "renamed.txt")
    with fake_fleet(1) as fleet:
        arriero(tmp_path, "run", "prompts.txt", *fleet.flags, "--first", "2")
        refused = arriero(tmp_path, "run", "other.txt", *fleet.flags)
        status = arriero(tmp_path, "verify")
        accepted = arriero(tmp_path, "run", "renamed.txt", *fleet.flags)
        (tmp_path / "short.txt").write_text(f"{ASKED[0]}\n")
        shorter = arriero(tmp_path, "run", "short.txt", *fleet.flags)

    assert refused.code == shorter.code == 2
    said = "results.json (journal results.json.journal) holds the batch of prompts.txt, and other.txt is another input"
    assert said in refused.err
    assert "holds the batch of renamed.txt, and short.txt is another input: it has 1 row" in shorter.err
    assert "-o, or run with --force" in refused.err
    assert "ok    P8  input" in status.out  # the refused run has not become the batch's
    assert accepted.code == 0, accepted.err
    assert "renamed.txt (was prompts.txt)" in accepted.err
    assert "11 appended since" in accepted.err
    assert_answered(read_results(tmp_path), [*ASKED, "One more."])
    assert_verified(tmp_path)


def test_a_mended_line_that_had_failed_is_sent_by_the_command_that_the_refusal_names(tmp_path: Path) -> None:
    good = json.dumps({"prompt": ASKED[0]})
    (tmp_path / "rows.jsonl").write_text(f'{good}\n{{"prompt": \n')
    with fake_fleet(1) as fleet:
        words = ("run", "rows.jsonl", *fleet.flags, "--on-bad-line", "fail")
        first = arriero(tmp_path, *words)
        write_rows(tmp_path, [{"prompt": ASKED[0]}, {"prompt": ASKED[1]}])
        refused = arriero(tmp_path, *words)
        retried = arriero(tmp_path, "retry", "results.json")

    assert (first.code, refused.code) == (3, 2), refused.err
    assert "help: arriero retry results.json sends the failed rows again as they are now" in refused.err
    assert retried.code == 0, retried.err
    assert_answered(read_results(tmp_path), ASKED[:2])


@pytest.mark.parametrize("words", [("-m", "mistrall:7b"), ("-i", "http://127.0.0.1:9")], ids=["model", "instance"])
def test_a_run_that_sends_nothing_leaves_nothing_and_costs_a_batch_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(1) as fleet:
        flags = words if "-i" in words else (*words, *fleet.flags)
        failed = arriero(tmp_path, "run", "prompts.txt", *flags, "-o", "a.json")
        piped = arriero(tmp_path, "run", "-", *flags, "-o", "b.json", stdin="one\ntwo\n")
        done = arriero(tmp_path, "run", "prompts.txt", *fleet.flags, "--first", "3")
        arriero(tmp_path, "resume", "-i", "http://127.0.0.1:9")
        rest = arriero(tmp_path, "run", "prompts.txt", *fleet.flags)

    assert failed.code == piped.code == 5, failed.err + piped.err
    assert not list(tmp_path.glob("a.json*"))
    assert not list(tmp_path.glob("b.json*"))
    assert (done.code, rest.code) == (0, 0), rest.err
    assert_verified(tmp_path)
