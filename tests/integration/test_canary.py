"""P12: a canary prompt, answer, key, password and server's text are heard nowhere but where they are asked for."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from fake_ollama import INSTANT, Fault, Speed, prompt_hash
from running import COMMAND, PATIENCE_S, Fleet, arriero, environment, fake_fleet, started, wait_committed
from terminals import terminal_bytes

pytestmark = pytest.mark.timeout(60)

PROMPT, SYSTEM, KEY, PASSWORD, TEXT = (f"CANARY-{word}-27182" for word in ("PROMPT", "SYSTEM", "KEY", "PASSW", "TEXT"))
ASKED = [f"{PROMPT} {number}" for number in range(24)]
ANSWERS = tuple(prompt_hash(prompt) for prompt in ASKED)
SECRET = (PROMPT, SYSTEM, KEY, PASSWORD, TEXT, *ANSWERS)

WORDS = ("run", "prompts.txt", "-s", "@system.txt", "--retries", "1")
DEBUG = {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1"}
"""Every warning and every debug log that Python and asyncio have."""

ENV = {
    "MY_KEY": KEY,
    "HTTP_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9",
    "http_proxy": f"http://user:{PASSWORD}@127.0.0.1:9",
}

FAULTS = (
    Fault("status", at=(2,), status=500, text=TEXT),
    Fault("status", contains="27182 9", status=400, text=TEXT),
    Fault("error_200", at=(5,), text=TEXT),
    Fault("error_mid", at=(7,), text=TEXT),
    Fault("status", at=(9,), status=429, retry_after="0", text=TEXT),
)


def caught(text: str | bytes, but: tuple[str, ...] = ()) -> list[str]:
    """The canaries that stand in a text."""
    whole = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [word for word in SECRET if word in whole and word not in but]


def prepare(folder: Path, fleet: Fleet) -> None:
    """An input, a system prompt, and a fleet file that names the variable of a key."""
    (folder / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in ASKED))
    (folder / "system.txt").write_text(SYSTEM)
    (folder / "arriero.toml").write_text(
        f'[[instance]]\nurl = "{fleet.urls[0]}"\napi_key_env = "MY_KEY"\nheaders_env = {{ X-Other = "MY_KEY" }}\n'
    )


def tables(journal: Path) -> dict[str, str]:
    """Everything in each table of a journal, as text."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: repr(list(connection.execute("SELECT * FROM " + name))) for name in names}  # noqa: S608
    connection.close()
    return found


@pytest.mark.parametrize(
    "display", ["line", *(pytest.param(one, marks=pytest.mark.slow) for one in ("log", "json", "none"))]
)
def test_a_run_tells_nothing_of_them_in_any_display(tmp_path: Path, display: str) -> None:
    with fake_fleet(2, api_key=KEY, faults=list(FAULTS)) as fleet:
        prepare(tmp_path, fleet)
        master, slave = pty.openpty()  # a line rewrites itself on a terminal only
        words = [*COMMAND, *WORDS, "--json", "--display", display]
        with subprocess.Popen(
            words, cwd=tmp_path, env=environment(tmp_path, ENV | DEBUG), stdout=subprocess.PIPE, stderr=slave
        ) as process:
            os.close(slave)
            said = terminal_bytes(master, process)
            assert process.stdout is not None
            said += process.stdout.read()

    assert process.returncode == 3, said
    assert b'"succeeded":23' in said, said
    assert b"Traceback" not in said, said
    assert not caught(said)


def test_no_command_tells_of_them_but_results_and_errors(tmp_path: Path) -> None:
    with fake_fleet(2, api_key=KEY, faults=list(FAULTS), speed=Speed(decode_tokens_per_s=60.0)) as fleet:
        prepare(tmp_path, fleet)
        with started(tmp_path, *WORDS, env=ENV | DEBUG) as running:
            wait_committed(tmp_path, 5, running)
            heard = {"process list": process_list(running.process.pid)}
            heard["status while it runs"] = arriero(tmp_path, "status", "--json").out
            heard["run"] = running.end(signal.SIGINT).err
        for server in fleet.servers:
            server.speed = INSTANT
        for words in (
            ("resume", "--display", "log"),
            ("retry", "--json"),
            ("status",),
            ("verify", "--json"),
            ("fleet", "ps", "--json"),
            ("doctor", "--json"),
            (*WORDS[:2], "--dry-run", "-o", "other.json"),
            (*WORDS, "-o", "other.json", "-i", f"http://user:{PASSWORD}@10.0.0.1"),
            ("-h",),
        ):
            done = arriero(tmp_path, *words, env=ENV)
            assert "Traceback" not in done.err, done.err
            heard[" ".join(words)] = done.out + done.err
        shown = arriero(tmp_path, "results").out + arriero(tmp_path, "errors").out

    wanted = {" ".join((*WORDS[:2], "--dry-run", "-o", "other.json")): (PROMPT,)}  # it shows three requests
    assert not {name: found for name, text in heard.items() if (found := caught(text, wanted.get(name, ())))}
    assert set(caught(shown)) >= {TEXT, ANSWERS[0]}, "the canaries were never there"
    journal = tables(tmp_path / "results.json.journal")
    allowed = {"answer": (TEXT, *ANSWERS), "attempt": (TEXT,), "session": (SYSTEM,), "binding": (SYSTEM,)}
    assert not {name: found for name, text in journal.items() if (found := caught(text, allowed.get(name, ())))}
    assert not {path for path in tmp_path.rglob("*") if caught(path.name)}
    files = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    for name, path in files.items():
        but = {"prompts.txt": (PROMPT,), "system.txt": (SYSTEM,), "results.json": (PROMPT, TEXT, *ANSWERS)}
        assert not caught(path.read_bytes(), but.get(name, SECRET if name == "results.json.journal" else ())), name
    assert KEY.encode() not in files["results.json.journal"].read_bytes()


def process_list(pid: int) -> str:
    """What any user of the machine can see of a process and its children."""
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        return subprocess.run(["ps", "-axo", "command"], check=True, capture_output=True, text=True).stdout
    children = (folder / "task" / str(pid) / "children").read_text().split()
    return "".join(Path(f"/proc/{one}/cmdline").read_text() for one in (str(pid), *children))


MISTAKES = {
    "a bad line": ("run", "bad.jsonl"),
    "a field that is not there": ("run", "rows.jsonl", "--prompt", "{nothing}"),
    "a wrong type": ("run", "typed.jsonl"),
    "a changed row": ("run", "prompts.txt"),
    "another system prompt": (*WORDS[:2], "-s", f"{SYSTEM} other"),
    "a key in a file": ("run", "prompts.txt", "--fleet", "key.toml"),
    "a key for a name": ("run", "prompts.txt", "--fleet", "name.toml"),
    "a key on the command line": ("run", "prompts.txt", f"--api-key={KEY}"),
    "a password in an address": ("run", "prompts.txt", "-i", f"https://{PASSWORD}@10.0.0.1/v1"),
    "a password in a fleet file": ("run", "prompts.txt", "--fleet", "url.toml"),
    "a file that is no TOML": ("run", "prompts.txt", "--fleet", "broken.toml"),
}


LONG = ("a field that is not there", "a wrong type")


@pytest.mark.parametrize(
    "mistake", [pytest.param(one, marks=pytest.mark.slow) if one in LONG else one for one in MISTAKES]
)
def test_no_error_message_repeats_them(tmp_path: Path, mistake: str) -> None:
    with fake_fleet(2) as fleet:
        prepare(tmp_path, fleet)
        if mistake in ("a changed row", "another system prompt"):
            assert arriero(tmp_path, *WORDS[:4], *fleet.flags, env=ENV).code == 0
        (tmp_path / "bad.jsonl").write_text(f'{{"prompt": "{PROMPT}" "x": 1}}\n')
        (tmp_path / "rows.jsonl").write_text(f'{{"text": "{PROMPT}"}}\n')
        (tmp_path / "typed.jsonl").write_text(f'{{"prompt": "{PROMPT}", "options": "{PROMPT}"}}\n')
        if mistake == "a changed row":
            (tmp_path / "prompts.txt").write_text("".join(f"{prompt} changed\n" for prompt in ASKED))
        instance = f'[[instance]]\nurl = "{fleet.urls[0]}"\n'
        (tmp_path / "key.toml").write_text(f'{instance}api_key = "{KEY}"\n')
        (tmp_path / "name.toml").write_text(f'{instance}api_key_env = "{KEY}"\n')
        (tmp_path / "url.toml").write_text(f'[[instance]]\nurl = "http://{PASSWORD}:x@10.0.0.1"\n')
        (tmp_path / "broken.toml").write_text(f"{instance}api_key_env = {KEY}\n")
        words = MISTAKES[mistake]
        if mistake == "a changed row":
            words = (*WORDS[:4],)
        done = arriero(tmp_path, *words, env=ENV)

    assert done.code == 2, done.err
    assert "error: " in done.err
    assert "api_key_env" in done.err or "key" not in mistake
    assert not caught(done.out + done.err)


BUG = """
import sys
from arriero.cli import main
from arriero.client import carry
from arriero.inputs import scan
from arriero.journal import writer
from arriero.monitor import live

def bug(*arguments, **named):
    try:
        raise KeyError({words!r})
    except KeyError as error:
        raise ValueError({words!r}) from error

{place} = bug
main()
"""


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("carry.write_output", 1),
        ("scan.Scan._pass", 1),
        pytest.param("writer.Writer._write", 7, marks=pytest.mark.slow),
        pytest.param("live.Live.frame", 0, marks=pytest.mark.slow),
    ],
)
def test_a_bug_in_any_thread_tells_its_type_and_place_alone(tmp_path: Path, place: str, code: int) -> None:
    with fake_fleet(2) as fleet:
        prepare(tmp_path, fleet)
        program = BUG.format(words=PROMPT + ANSWERS[0], place=place)
        process = subprocess.Popen(
            [sys.executable, "-", *WORDS, "--display", "log", *fleet.flags],
            cwd=tmp_path,
            env=environment(tmp_path, {**ENV, **DEBUG, "XDG_STATE_HOME": str(tmp_path / "bugs")}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = process.communicate(program.encode(), PATIENCE_S)
        finally:
            process.kill()
            process.wait()

    files = sorted((tmp_path / "bugs" / "arriero").glob("bug-*.txt"))
    assert b"ValueError" in said, said
    assert not caught(said), said
    for path in files:
        assert not caught(path.read_bytes())
        assert path.stat().st_mode & 0o777 == 0o600
        assert "builtins.KeyError" in path.read_text()
    assert process.returncode == code, said
    assert files, said
