"""Outbox: what is to be published gathers while the post is busy, which is how batches form without waiting for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arriero.engines.celery.post import Letter, Post


class Outbox:
    """Lives on one event loop.

    Args:
        post: Publishes.
        gather: Gives what is to be sent now, and forgets it.
    """

    def __init__(self, post: Post, gather: Callable[[], list[Letter]]) -> None:
        self._post = post
        self._gather = gather
        self._busy = self._stirred = self._soon = False

    @property
    def busy(self) -> bool:
        """Whether something is being published, or about to be."""
        return self._busy or self._soon

    def stir(self) -> None:
        """There is something to send: once all that is known in this round of the loop is there."""
        self._stirred = True
        if not self._busy and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._soon = False
        if self._busy:
            return
        self._stirred = False
        letters = self._gather()
        if letters:
            self._busy = True
            loop = asyncio.get_running_loop()
            self._post.send(letters).add_done_callback(lambda _: self._in(loop))

    def _in(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the post's thread."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._published)

    def _published(self) -> None:
        self._busy = False
        if self._stirred:
            self._flush()
