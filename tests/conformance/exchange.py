"""Exchange: one recorded request sent again, and all that comes back, as a line of a recording."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

Case = dict[str, Any]

KEPT_HEADERS = ("content-type", "transfer-encoding", "retry-after")
LONGEST_LIST = 64
KEPT_ITEMS = 4
PATIENCE_S = 120.0


class Exchange:
    """One request, sent as it was recorded, and everything that comes back.

    Attributes:
        pieces: The body as it came.
        began: Set when its first piece has come, or the end.
    """

    def __init__(self, url: str, case: Case, hide: str = "") -> None:
        self.case = case
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.headers_s = self.end_s = 0.0
        self.error: str | None = None
        self.pieces: list[tuple[float, str]] = []
        self.began = threading.Event()
        self._url = url
        self._hide = hide

    def send(self) -> None:
        """Send it and read to the end, whichever it is."""
        start = time.monotonic()
        connection = http.client.HTTPConnection(self._url.removeprefix("http://"), timeout=PATIENCE_S)
        try:
            self._exchange(connection, start)
        except (http.client.HTTPException, OSError) as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.end_s = time.monotonic() - start
            self.began.set()
            connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, start: float) -> None:
        request = self.case["request"]
        connection.request(
            request["method"], request["path"], wire(request["body"]), {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        self.status, self.headers_s = reply.status, time.monotonic() - start
        named = {name.lower(): value for name, value in reply.getheaders()}
        self.headers = {name: named[name] for name in KEPT_HEADERS if name in named}
        while piece := reply.read1():
            self.pieces.append((time.monotonic() - start, piece.decode()))
            self.began.set()

    @property
    def streams(self) -> bool:
        """Whether its pieces mean something; where a body in one piece was cut on the way is chance."""
        return self.headers.get("content-type", "").startswith(("application/x-ndjson", "text/event-stream"))

    @property
    def whole(self) -> bool:
        """Whether it came to the end that the server meant it to have."""
        text = "".join(text for _, text in self.pieces)
        ended = '"done":true' in text or "[DONE]" in text or '"finish_reason":"' in text or '"embeddings"' in text
        return self.error is None and ended

    def record(self, version: str) -> Case:
        """The line of a recording."""
        chunks = [(at, text.replace(self._hide, "") if self._hide else text) for at, text in self.pieces]
        if chunks and not self.streams:
            chunks = [(chunks[-1][0], "".join(text for _, text in chunks))]
        chunks, trimmed = trim(chunks)
        line = {
            "case": self.case["case"],
            "version": version,
            "request": self.case["request"],
            "status": self.status,
            "headers": self.headers,
            "headers_t_s": round(self.headers_s, 3),
            "end_t_s": round(self.end_s, 3),
            "connection_error": self.error,
            "chunks": [{"t_s": round(at, 3), "text": text} for at, text in chunks],
        }
        note = {"note": self.case["note"]} if "note" in self.case else {}
        return {**line, **({"trimmed": trimmed} if trimmed else {}), **note}


def wire(body: object) -> bytes | None:
    """A recorded body as bytes: text is no JSON and goes as it stands."""
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def trim(chunks: list[tuple[float, str]]) -> tuple[list[tuple[float, str]], list[str]]:
    """Long lists of numbers and tensors, which nobody reads, cut short where the body is one JSON object."""
    try:
        body = json.loads("".join(text for _, text in chunks))
    except ValueError:
        return chunks, []
    trimmed = []
    for name, value in body.items() if isinstance(body, dict) else ():
        if isinstance(value, list) and len(value) > LONGEST_LIST:
            trimmed.append(f"{name}: {KEPT_ITEMS} of {len(value)}")
            body[name] = value[:KEPT_ITEMS]
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return ([(chunks[-1][0], text)] if trimmed else chunks), trimmed
