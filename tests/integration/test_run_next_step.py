"""The commands that ``errors`` names, carried out by a shell as they stand."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from running import COMMAND, arriero, environment, fake_fleet, read_results, write_prompts, write_rows

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_the_command_that_errors_names_for_too_long_prompts_answers_them(tmp_path: Path, form: str) -> None:
    long = "word " * 3000
    name, texts = f"rows.{form}", ["short", long.strip(), "brief"]
    if form == "txt":
        write_prompts(tmp_path, texts, name)
    else:
        chat = [{"role": "system", "content": "x"}, {"role": "user", "content": texts[1]}]
        write_rows(tmp_path, [{"prompt": "short"}, {"messages": chat, "topic": "t"}, {"prompt": "brief"}], name)
    with fake_fleet(1) as fleet:
        words = ("-O", "num_ctx=2048", "-O", "temperature=0", "-m", "mistral:7b")
        first = arriero(tmp_path, "run", name, *words, *fleet.flags)
        (group,) = arriero(tmp_path, "errors", "--json").json["groups"]
        program = group["next"].replace("arriero ", f"{shlex.join(COMMAND)} ")
        done = subprocess.run(
            ["/bin/sh", "-c", program],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )

    assert first.code == 3, first.err
    assert (group["kind"], group["count"]) == ("too_long", 1)
    assert group["next"].startswith(
        "arriero results results.json --kind too_long --rows > too-long.jsonl && arriero run"
    )
    assert done.returncode == 0, done.stderr
    (record,) = read_results(tmp_path, "too-long.json")
    assert (record["id"], record["prompt"], record["model"]) == ("2", texts[1], "mistral:7b")
    assert fleet.bodies[-1]["options"]["num_ctx"] == 8192
    assert fleet.bodies[-1]["options"]["temperature"] == 0
