"""The books balance (P15) and stay quiet (P12): the journal against the servers' own record, and who can read what."""

from __future__ import annotations

import signal
import stat
from collections import Counter
from pathlib import Path

import apsw
import pytest
from fake_ollama import INSTANT, Fault, Speed, prompt_hash
from running import (
    Running,
    arriero,
    fake_fleet,
    prompts,
    read_results,
    started,
    stored_results,
    wait_committed,
    write_prompts,
)

from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredAttempt

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(60)
FAULTS = [
    [Fault("html", at=(1,)), Fault("reset_mid", at=(3,))],
    [Fault("error_mid", at=(3,)), Fault("status", contains="number 5.", status=400, text="invalid number")],
    [
        Fault("status", contains="number 5.", status=400, text="invalid number"),
        Fault("status", at=(8,), status=429, retry_after="0"),
    ],
]

PROMPT, KEY, TEXT = "CANARY-PROMPT-2718", "canary-key-3141", "CANARY-TEXT-1414"


def stored_attempts(folder: Path) -> list[StoredAttempt]:
    with JournalReader(folder / "results.json.journal") as reader:
        return list(reader.attempts())


def test_every_use_of_a_server_is_in_the_journal_once_and_nothing_else_is(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    each = [{"faults": faults} for faults in FAULTS]
    with fake_fleet(1, 2, 4, each=each, speed=Speed(decode_tokens_per_s=600.0)) as fleet:
        done = arriero(tmp_path, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)
        fleet.calm()
        retried = arriero(tmp_path, "retry")

    assert (done.code, retried.code) == (3, 0), done.err + retried.err
    results = {one.attempt_name: one for one in stored_results(tmp_path)}
    with JournalReader(tmp_path / "results.json.journal") as reader:
        history = {one.attempt_name for one in reader.history()}
    attempts = {f"{one.session}-{one.attempt}": one for one in stored_attempts(tmp_path)}
    seen = {entry.attempt: entry for entry in fleet.entries}
    assert len(seen) == len(fleet.entries), "an attempt reached a server twice"
    assert {*results, *attempts} == {*seen}
    completed = {entry.attempt for entry in fleet.requests("completed")}
    assert completed == {*results}
    failed = {mark: one for mark, one in attempts.items() if one.purpose == "request"}
    assert {entry.attempt for entry in fleet.requests("failed")} == {*failed}
    assert history < {*failed}
    for mark, one in attempts.items():
        assert one.purpose == seen[mark].purpose
        assert one.instance == seen[mark].server or one.instance in fleet.urls[int(seen[mark].server[-1])]
    assert Counter(one.kind for one in failed.values()) == Counter(
        {"bad_reply": 1, "unreachable": 1, "overloaded": 1, "server_error": 1, "rejected": 1}
    )


def test_the_numbers_shown_are_those_of_the_books(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(2, faults=[Fault("html", at=(3, 7))]) as fleet:
        told = arriero(tmp_path, "run", "prompts.txt", "--json", *fleet.flags).json["snapshot"]

    assert told["attempts"] == {"bad_reply": 2, "success": 60}
    assert told["instances"][0]["succeeded"] == len(fleet.requests("completed")) == 60
    assert told["instances"][0]["failed"] == 2
    assert told["usage"]["output_tokens"] == sum(entry.n_tokens for entry in fleet.requests("completed"))
    assert told["usage"]["output_tokens"] == sum(record["usage"]["output_tokens"] for record in read_results(tmp_path))


def command_lines(running: Running) -> str:
    """What any user of the machine can see of the command and its children."""
    folder = Path(f"/proc/{running.process.pid}")
    children = (folder / "task" / str(running.process.pid) / "children").read_text().split()
    return "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in (running.process.pid, *children))


def tables(journal: Path, *but: str) -> dict[str, str]:
    """Everything in each table of a journal, as text."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: repr(list(connection.execute("SELECT * FROM " + name))) for name in names if name not in but}  # noqa: S608
    connection.close()
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="command lines are read from /proc")
def test_no_prompt_answer_key_or_servers_text_is_heard_where_it_should_not_be(tmp_path: Path) -> None:
    asked = write_prompts(tmp_path, [f"{PROMPT} {number}" for number in range(30)])
    faults = [
        Fault("status", at=(2,), status=500, text=TEXT),
        Fault("status", contains="2718 9", status=400, text=TEXT),
    ]
    with fake_fleet(2, api_key=KEY, faults=faults, speed=Speed(decode_tokens_per_s=30.0)) as fleet:
        fleet_file = f'[[instance]]\nurl = "{fleet.urls[0]}"\napi_key_env = "MY_KEY"\n'
        (tmp_path / "arriero.toml").write_text(fleet_file)
        words, env = ("run", "prompts.txt", "--display", "json"), {"MY_KEY": KEY}
        with started(tmp_path, *words, env=env) as running:
            wait_committed(tmp_path, 5, running)
            seen = command_lines(running) + arriero(tmp_path, "status", "--json").out
            stopped = running.end(signal.SIGINT)
        fleet.servers[0].speed = INSTANT
        shown = arriero(tmp_path, "status").out
        done = arriero(tmp_path, *words, "--json", env=env)
        verified = arriero(tmp_path, "verify")
        listed = arriero(tmp_path, "fleet", "ps", "--json", env=env)
        errors = arriero(tmp_path, "errors")

    assert (stopped.code, done.code) == (130, 3), stopped.err + done.err
    journal = tmp_path / "results.json.journal"
    answers = [prompt_hash(prompt) for prompt in asked]
    heard = [seen, stopped.err, shown, done.err, done.out, verified.out, verified.err, listed.out, listed.err]
    for text in heard:
        assert not [word for word in (PROMPT, KEY, TEXT, *answers) if word in text]
    for name, text in tables(journal, "answer").items():
        told = (PROMPT, KEY, *answers) if name == "attempt" else (PROMPT, KEY, TEXT, *answers)
        assert not [word for word in told if word in text], name
    assert TEXT in errors.out
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "prompts.txt"]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert not [path for path in kept if PROMPT.encode() in path.read_bytes() and path.name != "results.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.name.startswith("results")} == {0o600}
