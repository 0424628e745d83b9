"""Cells: what a server may do to one request on the wire, by row of the fault matrix, and what it must come to."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from fake_ollama.wire import chunk
from scripted import Act, Flood, Script
from spoken import TOKENS, Talk, chunked, good, head, sized

from arriero.core.outcome import FailureKind
from arriero.core.request import Timeouts

K = FailureKind
LONG = Timeouts(first_byte_s=3000.0, idle_s=3000.0, total_s=3000.0)
"""Engine seconds, of which a test has a hundred in a real one."""

FIRST = Timeouts(first_byte_s=8.0, idle_s=3000.0, total_s=3000.0)
IDLE = Timeouts(first_byte_s=3000.0, idle_s=8.0, total_s=3000.0)
TOTAL = Timeouts(first_byte_s=3000.0, idle_s=3000.0, total_s=8.0)
DRIP_S = 0.01
"""Real seconds between two bytes: one in an engine second."""

HTML = b"<!doctype html><html><body><h1>Welcome to nginx!</h1></body></html>"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
DIED = "an error was encountered while running the model: unexpected EOF"
CLOSE, RESET, HOLD, UNREAD = Act.CLOSE, Act.RESET, Act.HOLD, Act.UNREAD


@dataclass(frozen=True)
class Cell:
    """One thing a server does, and what must come of it.

    Attributes:
        row: In the fault matrix.
        name: What happens.
        script: What the server plays, by dialect.
        kind: The failure; None where the answer is whole and its text exactly what was sent.
        words: In the failure's detail.
        kept: The connection serves the next request; else the server sees it closed.
        crashed: The request is suspected of having taken a server down.
        timeouts: Of the attempt.
        texts: What the answer says, token by token.
        only: Only where this is in the name of the dialect and form.
        retry_after_s: What the failure says of it.
    """

    row: int
    name: str
    script: Callable[[Talk], Script]
    kind: FailureKind | None = None
    words: str = ""
    kept: bool = False
    crashed: bool = False
    timeouts: Timeouts = LONG
    texts: tuple[str, ...] = TOKENS
    only: str = ""
    retry_after_s: float | None = None


def status(number: str, text: str = "something went wrong", *headers: str) -> Callable[[Talk], Script]:
    """An error of the dialect with a status."""
    return lambda talk: [sized(talk.frames().error(int(number[:3]), text), "application/json", *headers, status=number)]


def reply(*headers: str, kind: str | None = None) -> Callable[[Talk], Script]:
    """The right answer with its length, under other headers."""
    return lambda talk: [sized(talk.body(), talk.type if kind is None else kind, *headers)]


def half(talk: Talk) -> bytes:
    body = talk.body()
    return body[: len(body) * 2 // 5]


def split(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def raw_byte(talk: Talk, byte: bytes) -> bytes:
    """The right answer with one byte more inside its text."""
    return talk.body().replace(b"hohen", b"ho" + byte + b"hen", 1)


def later(row: int, header: str, seconds: float | None, name: str) -> Cell:
    date = "Date: Tue, 24 Nov 2026 10:00:00 GMT"
    said = status("429 Too Many Requests", "slow down", f"Retry-After: {header}", date)
    return Cell(row, f"retry-after-{name}", said, K.OVERLOADED, kept=True, retry_after_s=seconds)


def moved(number: str, where: str, name: str) -> Cell:
    return Cell(
        44,
        f"{number[:3]}-{name}",
        lambda _talk: [sized(b"", "", f"Location: {where}", status=number)],
        K.REDIRECTED,
        kept=True,
    )


JUNK = [
    Cell(33, "html", lambda _talk: [sized(HTML, "text/html")], K.BAD_REPLY, "HTML page", kept=True),
    Cell(33, "html-as-json", lambda talk: [sized(HTML, talk.type)], K.BAD_REPLY, "HTML page", kept=True),
    Cell(
        33, "text", lambda _talk: [sized(b"upstream unavailable", "text/plain")], K.BAD_REPLY, "not the JSON", kept=True
    ),
    Cell(33, "empty", lambda talk: [sized(b"", talk.type)], K.BAD_REPLY, "empty", kept=True),
    Cell(33, "another-json", lambda _talk: [sized(b'{"status":"ok"}')], K.BAD_REPLY, kept=True),
    Cell(34, "half-with-length", lambda talk: [sized(half(talk), talk.type)], K.BAD_REPLY, kept=True),
    Cell(34, "half-without-length", lambda talk: [head(talk.type) + half(talk), CLOSE], K.BAD_REPLY),
    Cell(34, "half-in-whole-chunks", lambda talk: [chunked([half(talk)], talk.type)], K.BAD_REPLY, kept=True),
    Cell(
        34,
        "chunks-without-the-last",
        lambda talk: [chunked(talk.pieces(), talk.type, last=b""), CLOSE],
        K.UNREACHABLE,
        "inside the answer",
        crashed=True,
    ),
    Cell(
        34,
        "half-a-chunk",
        lambda talk: [chunked([], last=chunk(talk.body())[:40]), CLOSE],
        K.UNREACHABLE,
        "inside the answer",
        crashed=True,
    ),
    Cell(
        34,
        "length-too-long-then-close",
        lambda talk: [head(talk.type, f"Content-Length: {len(talk.body()) + 1}") + talk.body(), CLOSE],
        K.UNREACHABLE,
        "inside the answer",
        crashed=True,
    ),
    Cell(
        34,
        "length-too-long-then-silence",
        lambda talk: [head(talk.type, f"Content-Length: {len(talk.body()) + 1}") + talk.body(), HOLD],
        K.TIMEOUT,
        "silent for 8 s",
        timeouts=IDLE,
    ),
    Cell(
        34,
        "length-too-short",
        lambda talk: [head(talk.type, f"Content-Length: {len(half(talk))}") + talk.body(), HOLD],
        K.BAD_REPLY,
    ),
    Cell(35, "no-end", lambda talk: [sized(talk.unfinished(), talk.type)], K.BAD_REPLY, "ends without", kept=True),
    Cell(
        35,
        "no-end-in-chunks",
        lambda talk: [chunked([talk.unfinished()], talk.type)],
        K.BAD_REPLY,
        "ends without",
        kept=True,
    ),
    Cell(
        35, "no-end-then-close", lambda talk: [head(talk.type) + talk.unfinished(), CLOSE], K.BAD_REPLY, "ends without"
    ),
    Cell(
        35,
        "no-end-then-close-in-chunks",
        lambda talk: [chunked([talk.unfinished()], talk.type, last=b""), CLOSE],
        K.UNREACHABLE,
        "inside the answer",
        crashed=True,
    ),
    Cell(
        35,
        "end-twice",
        lambda talk: [sized(talk.body() + talk.end(), talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="stream",
    ),
    Cell(
        35,
        "text-after-the-end",
        lambda talk: [sized(talk.body() + talk.tokens()[0], talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="stream",
    ),
    Cell(
        35,
        "two-whole-answers",
        lambda talk: [sized(talk.body() * 2, talk.type)],
        K.BAD_REPLY,
        "after",
        kept=True,
        only="whole",
    ),
    Cell(35, "end-without-text", lambda talk: [sized(talk.body(()), talk.type)], kept=True, texts=()),
    Cell(
        35,
        "end-without-message",
        lambda _talk: [sized(b'{"model":"mistral:7b","done":true}')],
        K.BAD_REPLY,
        "neither",
        kept=True,
        only="ollama",
    ),
    Cell(
        35,
        "done-is-a-word",
        lambda talk: [sized(talk.body().replace(b'"done":true', b'"done":"true"'), talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="ollama",
    ),
    Cell(
        35,
        "finish-reason-without-done",
        lambda talk: [chunked([*talk.pieces()[:-1], talk.end().partition(b"data: [DONE]")[0]], talk.type)],
        K.BAD_REPLY,
        "[DONE]",
        kept=True,
        only="openai-stream",
    ),
    Cell(
        35,
        "done-without-finish-reason",
        lambda talk: [chunked([*talk.tokens(), b"data: [DONE]\n\n"], talk.type)],
        K.BAD_REPLY,
        "finish_reason",
        kept=True,
        only="openai-stream",
    ),
    Cell(
        36, "error-in-200", lambda talk: [sized(talk.error("something went wrong"), talk.type)], K.BAD_REPLY, kept=True
    ),
    Cell(
        36,
        "error-mid-stream",
        lambda talk: [chunked([*talk.tokens()[:3], talk.error("something went wrong")], talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="stream",
    ),
    Cell(
        36,
        "crash-mid-stream",
        lambda talk: [chunked([*talk.tokens()[:3], talk.error(DIED)], talk.type)],
        K.SERVER_ERROR,
        crashed=True,
        kept=True,
        only="stream",
    ),
    Cell(
        36,
        "error-then-a-right-end",
        lambda talk: [chunked([*talk.tokens()[:3], talk.error("something went wrong"), *talk.pieces()[3:]], talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="stream",
    ),
    Cell(36, "busy-in-200", lambda talk: [sized(talk.error(BUSY), talk.type)], K.OVERLOADED, kept=True),
    Cell(
        36,
        "error-named-by-its-field",
        lambda talk: [chunked([*talk.tokens()[:3], b'error: {"message":"something went wrong"}\n\n'], talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="openai-stream",
    ),
    Cell(
        36,
        "error-as-an-event",
        lambda talk: [chunked([*talk.tokens()[:3], b"event: error\n" + talk.error("something went wrong")], talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="openai-stream",
    ),
    Cell(
        37,
        "another-model",
        lambda talk: [sized(talk.body(model="llama3:8b"), talk.type)],
        K.BAD_REPLY,
        "another model",
        kept=True,
    ),
    Cell(
        37,
        "two-models",
        lambda talk: [chunked([*talk.tokens(TOKENS[:3]), *talk.pieces(TOKENS[3:], model="llama3:8b")], talk.type)],
        K.BAD_REPLY,
        "two models",
        kept=True,
        only="stream",
    ),
    Cell(37, "extra-bytes", lambda talk: [good(talk) + b"GARBAGE", HOLD], K.BAD_REPLY, "not HTTP"),
    Cell(37, "a-second-answer-behind", lambda talk: [good(talk) + sized(talk.body(("another",)), talk.type), HOLD]),
    Cell(37, "a-crlf-behind", lambda talk: [good(talk) + b"\r\n"], kept=True),
]

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

BROKEN = [
    Cell(43, "reset-before-the-request-is-read", lambda _talk: [UNREAD], K.UNREACHABLE, crashed=True),
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
    ),
    Cell(
        45,
        "endless-chunk-size",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked"), Flood(b"0" * 4096)],
        K.TIMEOUT,
        "no first byte after 8 s",
        timeouts=FIRST,
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
    ),
]

ODD = [
    Cell(34, "http-1.0-without-length", lambda talk: [head(talk.type, http="1.0") + talk.body(), CLOSE]),
    Cell(
        34,
        "http-1.0-with-length",
        lambda talk: [head(talk.type, f"Content-Length: {len(talk.body())}", http="1.0") + talk.body(), HOLD],
    ),
    Cell(34, "without-length", lambda talk: [head(talk.type) + talk.body(), CLOSE]),
    Cell(34, "said-to-be-closed", lambda talk: [sized(talk.body(), talk.type, "Connection: close"), HOLD]),
    Cell(34, "no-content-type", reply(kind=""), kept=True),
    Cell(34, "another-content-type", reply(kind="text/html; charset=latin-1"), kept=True),
    Cell(34, "no-such-charset", reply(kind="application/json; charset=klingon"), kept=True),
    Cell(
        34,
        "same-length-twice",
        lambda talk: [sized(talk.body(), talk.type, f"Content-Length: {len(talk.body())}"), HOLD],
        K.BAD_REPLY,
    ),
    Cell(
        34,
        "two-lengths",
        lambda talk: [sized(talk.body(), talk.type, f"Content-Length: {len(talk.body()) + 9}"), HOLD],
        K.BAD_REPLY,
    ),
    Cell(34, "negative-length", lambda talk: [head(talk.type, "Content-Length: -1") + talk.body(), HOLD], K.BAD_REPLY),
    Cell(34, "length-of-words", lambda talk: [head(talk.type, "Content-Length: ten") + talk.body(), HOLD], K.BAD_REPLY),
    Cell(
        34,
        "length-beyond-64-bits",
        lambda talk: [head(talk.type, "Content-Length: " + "9" * 30) + talk.body(), HOLD],
        K.BAD_REPLY,
    ),
    Cell(
        34,
        "length-beside-chunks",
        lambda talk: [chunked(talk.pieces(), talk.type, "Content-Length: 5"), HOLD],
        K.BAD_REPLY,
    ),
    Cell(
        34,
        "chunk-size-of-words",
        lambda talk: [head(talk.type, "Transfer-Encoding: chunked") + b"zz\r\n" + talk.body(), HOLD],
        K.BAD_REPLY,
    ),
    Cell(34, "not-http", lambda _talk: [b"SSH-2.0-OpenSSH_9.7\r\n\r\n", HOLD], K.BAD_REPLY, "not HTTP"),
    Cell(34, "100-before", lambda talk: [b"HTTP/1.1 100 Continue\r\n\r\n" + good(talk)], kept=True),
    Cell(
        34,
        "103-before",
        lambda talk: [b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" + good(talk)],
        kept=True,
    ),
    Cell(
        34,
        "101-instead",
        lambda _talk: [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", HOLD],
        K.BAD_REPLY,
        timeouts=FIRST,
    ),
    Cell(34, "204", lambda _talk: [head(status="204 No Content")], K.BAD_REPLY, "empty", kept=True),
    Cell(34, "bad-utf8", lambda talk: [sized(raw_byte(talk, b"\xff"), talk.type)], K.BAD_REPLY, "UTF-8", kept=True),
    Cell(
        34,
        "half-a-character",
        lambda talk: [sized(raw_byte(talk, b"\xc3"), talk.type)],
        K.BAD_REPLY,
        "UTF-8",
        kept=True,
    ),
    Cell(34, "nul-byte", lambda talk: [sized(raw_byte(talk, b"\0"), talk.type)], K.BAD_REPLY, kept=True),
    Cell(34, "a-byte-a-chunk", lambda talk: [chunked(split(talk.body(), 1), talk.type)], kept=True),
    Cell(34, "seven-bytes-a-write", lambda talk: split(good(talk), 7), kept=True),
    Cell(34, "bom", lambda talk: [sized(b"\xef\xbb\xbf" + talk.body(), talk.type)], K.BAD_REPLY, kept=True),
    Cell(34, "crlf", lambda talk: [sized(talk.body().replace(b"\n", b"\r\n"), talk.type)], kept=True),
    Cell(34, "cr-alone", lambda talk: [sized(talk.body().replace(b"\n", b"\r"), talk.type)], kept=True),
    Cell(
        34,
        "comments-and-fields",
        lambda talk: [
            chunked([b": hi\n\n", *(b": ping\n\nid: 7\nretry: 9\n" + one for one in talk.pieces())], talk.type)
        ],
        kept=True,
        only="openai-stream",
    ),
    Cell(
        34,
        "comments-alone",
        lambda talk: [chunked([b": ping\n\n"] * 5, talk.type)],
        K.BAD_REPLY,
        kept=True,
        only="openai-stream",
    ),
    Cell(34, "a-token-of-2-mb", lambda talk: [good_of(talk, ("ä" * (1 << 20),))], kept=True, texts=("ä" * (1 << 20),)),
    Cell(
        34, "twenty-thousand-tokens", lambda talk: [good_of(talk, ("é ",) * 20_000)], kept=True, texts=("é ",) * 20_000
    ),
    Cell(34, "a-million-empty-lines", lambda talk: [sized(b"\n" * 1_000_000 + talk.body(), talk.type)], kept=True),
    Cell(34, "deep-nesting", lambda _talk: [sized(b'{"a":' + b"[" * 100_000)], K.BAD_REPLY, kept=True),
]


def good_of(talk: Talk, texts: tuple[str, ...]) -> bytes:
    return chunked(talk.pieces(texts), talk.type) if talk.stream else sized(talk.body(texts), talk.type)


CELLS = [*JUNK, *PATIENCE, *BROKEN, *ODD]
TALKS = [Talk(dialect, stream) for dialect in ("ollama", "openai") for stream in (True, False)]
EXCHANGES = [(cell, talk) for cell in CELLS for talk in TALKS if cell.only in talk.name]
