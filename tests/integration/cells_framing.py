"""Cells of framing: the same answer in every shape that HTTP and its imitators give it (row 34)."""

from __future__ import annotations

from spoken import chunked, good, head, sized
from wire_cells import CLOSE, FIRST, HOLD, Cell, K, bom, good_of, raw_byte, reply, split

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
    Cell(34, "bom-before-an-object", bom, K.BAD_REPLY, kept=True, only="ollama"),
    Cell(34, "bom-before-an-answer", bom, K.BAD_REPLY, kept=True, only="openai-whole"),
    Cell(34, "bom-before-events", bom, kept=True, only="openai-stream"),
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
