"""``map`` and ``Client.stream`` with a journal: answers are kept before they are told, and told again instead of asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import Fleet, fake_fleet, prompts

import arriero
from arriero.client import verify
from arriero.errors import BindingError, ConfigError, HeldError
from arriero.journal.reader import JournalReader

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(30)
MODEL = "mistral:7b"

KILLED = """
import os, signal, sys, arriero
for number, one in enumerate(arriero.map(sys.argv[3:], model="mistral:7b", fleet=[sys.argv[1]], journal=sys.argv[2])):
    print(one.prompt, flush=True)
    if number == 9:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / ".home"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")


def mapped(fleet: Fleet, items: list[str], **more) -> list[str | None]:
    return [one.response for one in arriero.map(items, model=MODEL, fleet=fleet.urls, journal="kept.journal", **more)]


def test_the_same_items_are_answered_from_the_journal_and_only_new_ones_are_sent() -> None:
    with fake_fleet(2) as fleet:
        first = mapped(fleet, ASKED[:20])
        sent = len(fleet.requests())
        again = mapped(fleet, ASKED)

    assert first == [answer(prompt) for prompt in ASKED[:20]]
    assert again == [answer(prompt) for prompt in ASKED]
    assert (sent, len(fleet.requests())) == (20, 30)
    with JournalReader("kept.journal") as reader:
        assert [stored.position for stored in reader.results()] == list(range(30))
        assert reader.batch().status == "finished"
    assert verify("none.json", "kept.journal").ok


def test_a_failure_is_kept_like_an_answer() -> None:
    with fake_fleet(2, faults=[Fault("status", contains="number 3.", status=400, text="invalid")]) as fleet:
        first = mapped(fleet, ASKED[:6])
        fleet.calm()
        again = mapped(fleet, ASKED[:6])

    assert first == again
    assert again[3] is None
    assert len(fleet.requests()) == 6


def test_whoever_is_killed_goes_on_behind_what_was_told() -> None:
    with fake_fleet(4) as fleet:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, fleet.urls[0], "kept.journal", *ASKED],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ},
        )
        told = killed.stdout.splitlines()
        with JournalReader("kept.journal") as reader:
            kept = {stored.position for stored in reader.results()}
            (session,) = (one.name for one in reader.sessions())
        again = mapped(fleet, ASKED)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert told == ASKED[:10]
    assert kept >= set(range(10)), "what was told was kept before"
    assert again == [answer(prompt) for prompt in ASKED]
    assert sum(not one.attempt.startswith(session) for one in fleet.requests()) == 30 - len(kept)


def test_items_and_settings_that_changed_are_refused_and_nothing_is_sent() -> None:
    with fake_fleet(2) as fleet:
        mapped(fleet, ASKED[:5])
        with pytest.raises(BindingError, match="item 3 is not what"):
            mapped(fleet, [*ASKED[:2], "another", *ASKED[3:5]])
        with pytest.raises(BindingError, match="system"):
            mapped(fleet, ASKED[:5], system="be brief")

    assert len(fleet.requests()) == 5


def test_leaving_early_keeps_what_was_told() -> None:
    with fake_fleet(1, speed=Speed(decode_tokens_per_s=300.0)) as fleet:
        answers = arriero.map(ASKED, model=MODEL, fleet=fleet.urls, journal="kept.journal")
        told = [next(answers).response for _ in range(3)]
        answers.close()
        again = mapped(fleet, ASKED[:3])

    assert again == told
    with JournalReader("kept.journal") as reader:
        assert len(list(reader.results())) >= 3


def test_streams_of_one_client_keep_apart_and_share_no_journal() -> None:
    async def main(fleet: Fleet) -> None:
        async with arriero.Client(model=MODEL, fleet=fleet.urls) as client:
            one = client.stream(ASKED[:10], journal="one.journal")
            other = client.stream(ASKED[5:15], journal="other.journal")
            first = await anext(one)
            with pytest.raises(HeldError):
                await anext(client.stream(ASKED, journal="one.journal"))
            rest = [answered.prompt async for answered in one]
            assert {first.prompt, *rest} == set(ASKED[:10])
            assert {answered.prompt async for answered in other} == set(ASKED[5:15])
            again = [answered.prompt async for answered in client.stream(ASKED[:10], journal="one.journal")]
            assert again == ASKED[:10]

    with fake_fleet(2) as fleet:
        asyncio.run(main(fleet))
        assert len(fleet.requests()) == 20
    for name, positions in (("one.journal", 10), ("other.journal", 10)):
        with JournalReader(name) as reader:
            assert [stored.position for stored in reader.results()] == list(range(positions))
            (session,) = {stored.session for stored in reader.results()}
            assert session == reader.sessions()[0].name


def test_an_iterable_that_raises_stops_its_own_stream_only() -> None:
    def broken() -> Iterator[str]:
        yield ASKED[0]
        raise LookupError("no more")

    async def main(fleet: Fleet) -> None:
        async with arriero.Client(model=MODEL, fleet=fleet.urls) as client:
            with pytest.raises(LookupError, match="no more"):
                async for _ in client.stream(broken(), journal="broken.journal"):
                    pass
            assert len([one async for one in client.stream(ASKED)]) == len(ASKED)

    with fake_fleet(2) as fleet:
        asyncio.run(main(fleet))


def test_a_client_that_is_closed_says_so_to_whoever_reads_on() -> None:
    async def main(fleet: Fleet) -> None:
        async with arriero.Client(model=MODEL, fleet=fleet.urls) as client:
            answers = client.stream(ASKED)
            await anext(answers)
        with pytest.raises(ConfigError, match="was closed"):
            async for _ in answers:
                pass

    with fake_fleet(1, speed=Speed(decode_tokens_per_s=300.0)) as fleet:
        asyncio.run(main(fleet))
