from __future__ import annotations

import asyncio

from arriero.client.loop import run


def raise_words(words: str) -> None:
    raise ValueError(words)


async def fail_beside() -> str:
    asyncio.get_running_loop().call_soon(raise_words, "canary: a prompt")
    task = asyncio.create_task(fail_unheard())
    await asyncio.wait([task])
    del task
    return "done"


async def fail_unheard() -> None:
    raise KeyError("canary: an answer")


def test_what_nobody_catches_on_the_loop_is_told_by_its_type_alone(caplog):
    assert run(fail_beside()) == "done"

    assert "unexpected ValueError on the event loop" in caplog.text
    assert "unexpected KeyError on the event loop" in caplog.text
    assert "canary" not in caplog.text
