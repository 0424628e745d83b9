"""LocalServer before it is started: how many slots and threads it will have."""

from __future__ import annotations

import pytest

from arriero.local import LocalServer
from arriero.local.server import without_secrets


@pytest.mark.parametrize(("threads", "slots"), [(1, 4), (2, 8), (15, 8)])
def test_slots_follow_the_threads_up_to_eight(threads: int, slots: int) -> None:
    assert LocalServer(threads=threads).slots == slots


def test_slots_are_as_many_as_asked_for() -> None:
    assert LocalServer(threads=1, slots=16).slots == 16


def test_one_thread_is_left_out_but_never_the_last() -> None:
    assert LocalServer().threads >= 1


def test_nothing_is_started_before_the_block() -> None:
    server = LocalServer()

    assert server.pid == 0
    assert server.base_url == ""
    assert server.crashed() is None


def test_its_environment_has_no_key_of_the_users() -> None:
    secret = ("OPENAI_API_KEY", "HF_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "https_proxy")
    kept = {"PATH": "/bin", "LD_LIBRARY_PATH": "/lib", "CUDA_VISIBLE_DEVICES": "0", "HOME": "/h"}

    assert without_secrets({**kept, **dict.fromkeys(secret, "canary")}) == kept
