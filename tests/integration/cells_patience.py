"""Cells of patience: silence, drips, servers that ask to wait, servers that fail (rows 38 to 42, and 47)."""

from __future__ import annotations

from fake_ollama.wire import chunk
from scripted import Flood
from spoken import chunked, head, sized
from wire_cells import BUSY, DIED, DRIP_S, FIRST, HOLD, HTML, IDLE, TOTAL, Cell, K, half, later, status

PATIENCE = [
    Cell(38, "silence", lambda _talk: [HOLD], K.TIMEOUT, "no first byte after 8 s", timeouts=FIRST),
    Cell(
        38,
        "silence-after-half-a-head",
        lambda _talk: [b"HTTP/1.1 200 OK\r\nContent-", HOLD],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
    ),
    Cell(
        38,
        "silence-after-the-head",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked"), HOLD],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
    ),
    Cell(
        38,
        "silence-inside",
        lambda talk: [chunked(talk.tokens() or [half(talk)], talk.type, last=b""), HOLD],
        K.TIMEOUT,
        "silent for 8 s",
        timeouts=IDLE,
    ),
    Cell(
        38,
        "silence-before-the-last-chunk",
        lambda talk: [chunked(talk.pieces(), talk.type, last=b""), HOLD],
        K.TIMEOUT,
        "silent for 8 s",
        timeouts=IDLE,
    ),
    Cell(
        39,
        "one-byte-a-second",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked"), Flood(chunk(b" "), DRIP_S)],
        K.TIMEOUT,
        "not finished after 8 s",
        timeouts=TOTAL,
    ),
    Cell(
        39,
        "one-byte-of-a-head-a-second",
        lambda _talk: [b"HTTP/1.1 200 OK\r\nX-Slow: ", Flood(b"x", DRIP_S)],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
    ),
    Cell(
        39,
        "one-keep-alive-a-second",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked"), Flood(chunk(b": ping\n\n"), DRIP_S)],
        K.TIMEOUT,
        "not finished after 8 s",
        timeouts=TOTAL,
    ),
    later(40, "7", 7.0, "seconds"),
    later(40, "Tue, 24 Nov 2026 10:00:09 GMT", 9.0, "date"),
    later(40, "Tue, 24 Nov 2026 09:00:00 GMT", 0.0, "past-date"),
    later(40, "Fri, 24 Nov 2226 10:00:00 GMT", 300.0, "far-date"),
    later(40, "soon", None, "garbage"),
    later(40, "1e9", 300.0, "1e9"),
    later(40, "-5", None, "negative"),
    later(40, "0.5", 0.5, "fraction"),
    later(40, "9" * 30, 300.0, "huge"),
    later(40, "9" * 400, None, "beyond-a-float"),
    later(40, "nan", None, "nan"),
    later(40, "", None, "empty"),
    Cell(41, "queue-full", status("503 Service Unavailable", BUSY), K.OVERLOADED, kept=True),
    Cell(
        41,
        "queue-full-retry-after",
        status("503 Service Unavailable", BUSY, "Retry-After: 2"),
        K.OVERLOADED,
        kept=True,
        retry_after_s=2.0,
    ),
    Cell(
        41,
        "html-503",
        lambda _talk: [sized(HTML, "text/html", status="503 Service Unavailable")],
        K.OVERLOADED,
        kept=True,
    ),
    Cell(41, "site-overloaded", status("529 Overloaded"), K.OVERLOADED, kept=True),
    Cell(42, "500", status("500 Internal Server Error"), K.SERVER_ERROR, kept=True),
    Cell(42, "500-html", lambda _talk: [sized(HTML, "text/html", status="502 Bad Gateway")], K.SERVER_ERROR, kept=True),
    Cell(42, "500-died", status("500 Internal Server Error", DIED), K.SERVER_ERROR, crashed=True, kept=True),
    Cell(
        47,
        "out-of-memory",
        status("500 Internal Server Error", "model requires more system memory (9.8 GiB) than is available (3.1 GiB)"),
        K.SERVER_ERROR,
        kept=True,
    ),
]
