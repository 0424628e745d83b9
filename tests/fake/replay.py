"""Replay: a dialect that sends a request as it is and hands back what came."""

from __future__ import annotations

import json
from typing import Any

from arriero.backends.wire import HttpCall, HttpReply
from arriero.core.outcome import Failure, FailureKind, Outcome
from arriero.core.request import Attempt


class Replay:
    """A dialect that sends one recorded request as it is and hands the reply back in ``detail`` as JSON."""

    name = "replay"

    def __init__(self, request: dict[str, Any]) -> None:
        body = request["body"]
        self._body = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        self._request = request

    def call(self, attempt: Attempt) -> HttpCall:
        request = self._request
        return HttpCall(
            method=request["method"], path=request["path"], body=self._body or None, timeouts=attempt.timeouts
        )

    def began(self, chunk: bytes) -> bool:
        return False

    def outcome(self, attempt: Attempt, reply: HttpReply) -> Outcome:
        assert reply.broken is None
        told = [reply.status, reply.content_type, reply.body.decode()]
        return Failure(kind=FailureKind.BAD_REPLY, detail=json.dumps(told))
