"""The embedded server: a real child process with the real model."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from arriero.errors import FleetError
from arriero.local import LocalServer

pytestmark = pytest.mark.timeout(30)

PARENT = """
import sys
from arriero.local import LocalServer
with LocalServer(slots=1, context_tokens=512) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


KEY = "CANARY-KEY-27182"


@pytest.fixture(scope="module")
def server(local_model: Path) -> Iterator[LocalServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_API_KEY", KEY)
        yield from started(local_model)


def started(local_model: Path) -> Iterator[LocalServer]:
    with LocalServer(slots=2, context_tokens=512, threads=1, model=local_model) as running:
        yield running


def ask(server: LocalServer, **body: object) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{server.base_url}/v1/chat/completions", json=body, timeout=20)


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for a process that is no child of ours; True if it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def test_it_answers_and_counts_tokens(server: LocalServer) -> None:
    reply = ask(server, messages=[{"role": "user", "content": "Name three rivers."}], max_tokens=8)

    answer = reply.json()
    assert answer["choices"][0]["message"]["content"]
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    assert answer["usage"]["prompt_tokens"] > 5


def test_a_prompt_beyond_the_context_is_refused_with_both_sizes(server: LocalServer) -> None:
    refused = ask(server, messages=[{"role": "user", "content": "word " * 1000}], max_tokens=1)

    error = refused.json()["error"]
    assert refused.status == 400
    assert error["type"] == "exceed_context_size_error"
    assert error["n_prompt_tokens"] > error["n_ctx"] == 512


def test_it_lives_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(server: LocalServer) -> None:
    assert os.getsid(server.pid) == server.pid
    assert os.getsid(0) != server.pid


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="a process's environment is read from /proc")
def test_its_command_line_and_environment_hold_no_key(server: LocalServer) -> None:
    folder = Path(f"/proc/{server.pid}")

    assert KEY not in (folder / "environ").read_text()
    assert KEY not in (folder / "cmdline").read_text()
    assert "PATH=" in (folder / "environ").read_text()


def test_its_slots_are_its_limit(server: LocalServer) -> None:
    instance = server.instance()

    assert instance.backend == "openai"
    assert instance.limit is not None
    assert instance.limit.fixed
    assert instance.limit.most == 2


def test_leaving_the_block_ends_it(local_model: Path) -> None:
    with LocalServer(slots=1, context_tokens=512, threads=1, model=local_model) as running:
        pid = running.pid

    assert ends_within(pid, 0.0)


@pytest.mark.skipif(sys.platform != "linux", reason="waits on a process descriptor")
@pytest.mark.usefixtures("local_model")
def test_it_does_not_outlive_a_parent_that_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not ends_within(child, 0.0)

        parent.send_signal(signal.SIGKILL)

        assert ends_within(child, 10.0)


def test_a_crash_is_told_with_its_signal(local_model: Path) -> None:
    with LocalServer(slots=1, context_tokens=512, threads=1, model=local_model) as running:
        assert running.crashed() is None
        os.kill(running.pid, signal.SIGKILL)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)

        assert "signal 9" in (running.crashed() or "")


@pytest.mark.usefixtures("local_model")
def test_a_file_that_is_no_model_is_told_at_once(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")

    with pytest.raises(FleetError, match="embedded server ended"), LocalServer(model=broken, threads=1):
        pass


def test_one_that_does_not_come_up_in_time_is_ended(local_model: Path) -> None:
    late = LocalServer(model=local_model, threads=1, ready_s=0.01)

    with pytest.raises(FleetError, match="did not listen within"), late:
        pass
    assert late.pid == 0
