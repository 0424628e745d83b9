"""Cells of bounds: connections that break, redirects, and what has no end (rows 43 to 45)."""

from __future__ import annotations

import gzip

from fake_ollama.wire import chunk
from scripted import Flood
from spoken import chunked, good, head, sized
from wire_cells import CLOSE, FIRST, HOLD, RESET, UNREAD, Cell, K, half, moved

BROKEN = [
    Cell(43, "reset-before-the-request-is-read", lambda _talk: [UNREAD], K.UNREACHABLE, crashed=None),
    Cell(43, "reset-before-an-answer", lambda _talk: [RESET], K.UNREACHABLE, crashed=True),
    Cell(
        43, "reset-inside-the-head", lambda _talk: [b"HTTP/1.1 200 OK\r\nContent-", RESET], K.UNREACHABLE, crashed=True
    ),
    Cell(
        43,
        "reset-inside-the-body",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked") + chunk(half(talk)), RESET],
        K.UNREACHABLE,
        crashed=True,
    ),
    Cell(
        43,
        "reset-before-the-last-chunk",
        lambda talk: [chunked(talk.pieces(), talk.type, last=b""), RESET],
        K.UNREACHABLE,
        crashed=True,
    ),
    Cell(43, "reset-after-the-end", lambda talk: [good(talk), RESET]),
    Cell(43, "close-before-an-answer", lambda _talk: [CLOSE], K.UNREACHABLE, "before an answer", crashed=True),
    Cell(
        43, "close-inside-the-head", lambda _talk: [b"HTTP/1.1 200 OK\r\nContent-", CLOSE], K.UNREACHABLE, crashed=True
    ),
    Cell(43, "close-after-the-end", lambda talk: [good(talk), CLOSE]),
    *(
        moved(number, "http://169.254.169.254/latest/meta-data/", "to-metadata")
        for number in (
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        )
    ),
    moved("307 Temporary Redirect", "/api/chat", "to-itself"),
    moved("300 Multiple Choices", "https://[::1]/", "to-tls"),
    moved("308 Permanent Redirect", "\x01not a url", "to-nonsense"),
    Cell(
        44, "307-without-location", lambda _talk: [sized(b"", status="307 Temporary Redirect")], K.REDIRECTED, kept=True
    ),
    Cell(44, "304-to-a-post", lambda _talk: [head(status="304 Not Modified")], K.REDIRECTED, kept=True),
    Cell(
        45,
        "gzip-bomb",
        lambda talk: [
            head(talk.type, "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
            Flood(chunk(gzip.compress(bytes(1 << 20)))),
        ],
        K.BAD_REPLY,
        "packed",
    ),
    Cell(
        45,
        "bad-gzip",
        lambda talk: [sized(talk.body(), talk.type, "Content-Encoding: gzip")],
        K.BAD_REPLY,
        "packed",
        kept=True,
    ),
    Cell(
        45,
        "packed-for-the-way",
        lambda talk: [
            head(talk.type, "Transfer-Encoding: gzip, chunked") + chunk(gzip.compress(talk.body())) + b"0\r\n\r\n"
        ],
        K.BAD_REPLY,
        kept=True,
    ),
    Cell(
        45,
        "header-of-100-kb",
        lambda talk: [sized(talk.body(), talk.type, "X-Big: " + "x" * 100_000), HOLD],
        K.BAD_REPLY,
        "header above",
    ),
    Cell(
        45,
        "endless-header",
        lambda _talk: [b"HTTP/1.1 200 OK\r\nX-Big: ", Flood(b"x" * 4096)],
        K.BAD_REPLY,
        "header above",
    ),
    Cell(45, "endless-headers", lambda _talk: [b"HTTP/1.1 200 OK\r\n", Flood(b"X-Small: x\r\n" * 400)], K.BAD_REPLY),
    Cell(45, "endless-status-line", lambda _talk: [b"HTTP/1.1 200 ", Flood(b"OK" * 4096)], K.BAD_REPLY),
    Cell(
        45,
        "endless-chunk-extension",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked") + b"5;", Flood(b"x" * 4096)],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
        threads=(K.BAD_REPLY, "encoding broken"),
    ),
    Cell(
        45,
        "endless-chunk-size",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked"), Flood(b"0" * 4096)],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
        threads=(K.BAD_REPLY, "encoding broken"),
    ),
    Cell(
        45,
        "endless-trailers",
        lambda talk: [chunked(talk.pieces(), talk.type, last=b"0\r\n"), Flood(b"X-Small: x\r\n" * 400)],
        K.BAD_REPLY,
    ),
    Cell(
        45,
        "endless-100-continue",
        lambda _talk: [Flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
        threads=(K.BAD_REPLY, "not HTTP"),
    ),
]
