"""An independent and naive reading of replies: what a success must have had, by the standard library's JSON alone."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import arriero.backends

_SPACE = " \t\r\n"


def values(text):
    """JSON values that stand one after another with white space between; ValueError for anything else."""
    decoder, found, at = json.JSONDecoder(strict=False), [], 0
    while True:
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if at == len(text):
            return found
        value, at = decoder.raw_decode(text, at)
        found.append(value)


def frames(body):
    """Objects of a body, whether they came as events, and whether those ended with [DONE] and nothing after it."""
    text = body.decode()
    if text.lstrip(_SPACE).startswith(("{", "[", '"')):
        return values(text), False, False
    found, ended = [], False
    for line in re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff").strip(_SPACE)):
        if not line or line.startswith((":", "event:", "id:", "retry:")):
            continue
        if ended or not line.startswith("data:"):
            raise ValueError("bytes that are no event")
        piece = line.removeprefix("data:").strip(_SPACE)
        ended = piece == "[DONE]"
        if not ended:
            found += values(piece)
    return found, True, ended


def _error(thing):
    return thing.get("error") not in (None, "")


def ollama_text(body):
    """Text and thoughts of a whole answer of an Ollama endpoint; None if it has no proper end."""
    found, _, _ = frames(body)
    if not found or not all(isinstance(thing, dict) and not _error(thing) for thing in found):
        return None
    if [thing.get("done") is True for thing in found] != [False] * (len(found) - 1) + [True]:
        return None
    turns = [thing.get("message") or thing for thing in found]
    texts = [
        turn.get("content" if thing.get("message") else "response") for turn, thing in zip(turns, found, strict=True)
    ]
    return "".join(text or "" for text in texts), "".join(turn.get("thinking") or "" for turn in turns)


def openai_text(body):
    """Text and thoughts of a whole chat completion; None if it has no proper end."""
    found, events, ended = frames(body)
    if not found or not all(isinstance(thing, dict) and not _error(thing) for thing in found) or events != ended:
        return None
    text, thoughts, reason = "", "", None
    for thing in found:
        for choice in thing.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            turn = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
            piece, thought = turn.get("content") or "", turn.get("reasoning_content") or turn.get("reasoning") or ""
            if reason is not None and (piece or thought or choice.get("finish_reason")):
                return None
            text, thoughts = text + piece, thoughts + thought
            reason = choice.get("finish_reason") if reason is None else reason
    return None if reason is None else (text, thoughts)


def vectors(body):
    """The one vector of a whole embedding; None if there is none or more."""
    found, _, _ = frames(body)
    if len(found) != 1 or _error(found[0]):
        return None
    thing = found[0]
    lists = thing["embeddings"] if "embeddings" in thing else [one["embedding"] for one in thing.get("data") or ()]
    good = len(lists) == 1 and lists[0] and all(type(number) in (int, float) for number in lists[0])
    return lists if good else None


def _shapes():
    """Every text of the dialects' source as a pattern: what is put into one may be a number or a word of ours."""
    for path in sorted(Path(arriero.backends.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.escape(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (re.escape(part.value) if isinstance(part, ast.Constant) else _OURS for part in node.values)
                yield "".join(parts)


_OURS = r"(?:\d+|version|models|details|resident)"
_OWN = re.compile("|".join(f"(?:{shape})" for shape in sorted(set(_shapes()), key=len, reverse=True)))


def is_ours(detail):
    """Whether a text stands in our own source, with nothing foreign put into it (P12)."""
    return _OWN.fullmatch(detail) is not None
