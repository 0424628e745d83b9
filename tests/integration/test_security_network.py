"""P11: the command line asks the configured instances and nobody else, whatever rows, servers and environment say."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_ollama import Fault
from running import Ended, Fleet, arriero, fake_fleet, read_results, write_prompts, write_rows

pytestmark = pytest.mark.timeout(60)

WATCH = """
import json, os, sys

TALK = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo", "socket.send")
# Not the one folder: a name that is looked up in any module's own way ends in one of these.
TALK += ("urllib.", "http.client.", "ftplib.", "smtplib.", "poplib.", "imaplib.")
file = os.open(os.environ["WATCH_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def heard(event, arguments):
    if event.startswith(TALK):
        os.write(file, (json.dumps([event, repr(arguments[1:] if event.startswith("socket.c") else arguments)]) + "\\n").encode())

sys.addaudithook(heard)
"""
"""Loaded by the interpreter of every command before anything else: writes down whom it speaks to (PEP 578)."""


def watched(folder: Path, *words: str, env: dict[str, str] | None = None) -> tuple[Ended, set[str]]:
    """A command, and whom it connected to or looked up."""
    hook, log = folder / "hook", folder / "talked.jsonl"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(WATCH)
    log.write_text("")
    path = os.pathsep.join((str(hook), os.environ.get("PYTHONPATH", "")))
    done = arriero(folder, *words, env={"PYTHONPATH": path, "WATCH_FILE": str(log), **(env or {})})
    return done, {target for _, target in map(json.loads, log.read_text().splitlines())}


def targets(fleet: Fleet) -> set[str]:
    """The fleet's own addresses, as they are connected to."""
    return {repr((("127.0.0.1", server.port),)) for server in fleet.servers}


def tempting(trap: Fleet) -> dict[str, str]:
    """An environment that leads elsewhere."""
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "OLLAMA_HOST")
    return dict.fromkeys(names, trap.urls[0])


def test_commands_speak_to_the_configured_instances_alone(tmp_path: Path) -> None:
    write_prompts(tmp_path, 8)
    faults = [Fault("status", contains="number 3.", status=400)]
    with fake_fleet(1, 2, faults=faults) as fleet, fake_fleet(1) as trap:
        asking: Sequence[tuple[str, ...]] = (
            ("run", "prompts.txt", "--dry-run", *fleet.flags),
            ("run", "prompts.txt", *fleet.flags),
            ("retry",),
            ("doctor", *fleet.flags),
            ("fleet", "ps", *fleet.flags),
        )
        spoken = [watched(tmp_path, *words, env=tempting(trap)) for words in asking]

    assert trap.servers[0].accepted == 0, "somebody was asked who is no instance"
    assert [done.code for done, _ in spoken] == [0, 3, 3, 0, 0]
    assert [found for _, found in spoken] == [targets(fleet)] * len(asking)


def test_reading_commands_speak_to_nobody(tmp_path: Path) -> None:
    write_prompts(tmp_path, 4)
    with fake_fleet(2, faults=[Fault("status", contains="number 3.", status=400)]) as fleet:
        assert arriero(tmp_path, "run", "prompts.txt", *fleet.flags).code == 3
        reading: Sequence[tuple[str, ...]] = (
            ("--version",),
            ("status", "--json"),
            ("errors",),
            ("verify",),
            ("config", "show", *fleet.flags),
            ("run", "prompts.txt", *fleet.flags),  # everything has ended: there is nothing to ask
        )
        spoken = {words: watched(tmp_path, *words) for words in reading}

    assert {words: done.code for words, (done, _) in spoken.items() if done.code} == {reading[-1]: 3}
    assert {words: found for words, (_, found) in spoken.items() if found} == {}, "somebody was spoken to"


def test_a_redirect_is_not_followed_and_neither_prompt_nor_key_goes_along(tmp_path: Path) -> None:
    write_prompts(tmp_path, 4)
    with fake_fleet(2) as trap:
        there = f"{trap.urls[0]}/api/chat"
        faults = [Fault("redirect", location=there), Fault("redirect", path="/api/show", location=there)]
        with fake_fleet(2, api_key="k", faults=faults) as fleet:
            (tmp_path / "fleet.toml").write_text(f'[[instance]]\nurl = "{fleet.urls[0]}"\napi_key_env = "K"\n')
            words = ("run", "prompts.txt", "-m", "mistral:7b", "--fleet", "fleet.toml")
            done, spoken = watched(tmp_path, *words, env={"K": "k"})

    assert trap.servers[0].accepted == 0, "somebody was asked who is no instance"
    assert done.code == 5, done.err
    assert "redirected" in done.err
    assert spoken == targets(fleet)


def test_no_address_in_a_row_is_fetched(tmp_path: Path) -> None:
    with fake_fleet(2) as fleet, fake_fleet(2) as trap:
        there = f"{trap.urls[0]}/image.png"
        picture = [{"type": "text", "text": "p"}, {"type": "image_url", "image_url": {"url": there}}]
        schema = {"$ref": f"{trap.urls[0]}/schema.json"}
        rows = [
            {"prompt": f"Look at {there}"},
            {"prompt": "p", "images": [there]},
            {"messages": [{"role": "user", "content": picture}]},
            {"prompt": "p", "format": schema},
            {
                "custom_id": "a",
                "method": "POST",
                "url": there,
                "body": {"messages": [{"role": "user", "content": "p"}]},
            },
        ]
        write_rows(tmp_path, rows)
        done, spoken = watched(tmp_path, "run", "rows.jsonl", "--on-bad-line", "fail", *fleet.flags)

    assert trap.servers[0].accepted == 0, "somebody was asked who is no instance"
    assert done.code == 3, done.err
    assert read_results(tmp_path)[0]["status"] == "success"
    assert spoken == targets(fleet)


@pytest.mark.parametrize("address", ["http://[fd00:ec2::254]/v1", "http://0xa9fea9fe:80"])
def test_a_metadata_service_is_no_instance(tmp_path: Path, address: str) -> None:
    write_prompts(tmp_path, 1)
    done, spoken = watched(tmp_path, "run", "prompts.txt", "-i", address)

    assert done.code == 2
    assert "link-local" in done.err
    assert spoken == set()
