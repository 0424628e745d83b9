"""Reply judges under mutants of real replies: never an exception, and no success that was not one."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import msgspec
import mutants
import oracle
import pytest
from fuzzing import fuzzed, texts
from hypothesis import strategies as st
from recorded import EXCHANGES, OTHERS, attempt_of, dialect, discovers, is_openai

from arriero.core.outcome import Failure, FailureKind, Observation, Success
from arriero.journal import outcome as stored

NATIVE = [case for case in EXCHANGES if not is_openai(case) and not discovers(case)]
OPENAI = [case for case in EXCHANGES if is_openai(case) and not discovers(case)] + OTHERS * 8
LISTINGS = [case for case in EXCHANGES if discovers(case)]
PLAIN = (200, "", "", None, False)
JSON_TYPES = ("", "application/json", "text/event-stream", "application/x-ndjson", "text/html")


def embeds(case):
    return "embed" in case["request"]["path"]


def judged(case, reply):
    """The verdict, whose two tellings are equal and which the journal can hold."""
    attempt, judge = attempt_of(case), dialect(case).outcome
    verdict = judge(attempt, reply)
    assert judge(attempt, reply) == verdict
    if isinstance(verdict, Failure):
        assert verdict.kind in set(FailureKind)
        if verdict.own:
            assert oracle.is_ours(verdict.detail) or verdict.detail == "connection lost"
        assert mutants.CANARY not in verdict.reason
    if not isinstance(verdict, Observation):
        assert stored.either(stored.encode(verdict)) == verdict
    return verdict


def check(case, reply):
    """A success had its end and says what its frames say."""
    verdict = judged(case, reply)
    if isinstance(verdict, Failure):
        return
    assert reply.broken is None
    assert 200 <= reply.status < 300
    if isinstance(verdict, Observation):
        assert len(oracle.frames(reply.body)[0]) == 1
    elif attempt_of(case).purpose != "request":
        assert verdict.text == ""
    elif embeds(case):
        assert json.loads(bytes(verdict.embeddings)) == oracle.vectors(reply.body) is not None
    else:
        read = oracle.openai_text if is_openai(case) else oracle.ollama_text
        assert (verdict.text, verdict.thinking or "") == read(reply.body)


def mutant_of(cases, index, plan):
    case = cases[index % len(cases)]
    return case, mutants.mutate(case["body"], [other["body"] for other in cases], plan)


def fuzzed_mutants(cases, count):
    """The test of a case and the reply to it, over mutants of recorded ones."""

    def decorate(test):
        def one(index, plan, around, kind):
            case, body = mutant_of(cases, index, plan)
            test(case, mutants.reply_of(body, around, kind))

        one.__name__, one.__module__ = test.__name__, test.__module__
        where = st.integers(0, len(cases) - 1)
        kinds = st.sampled_from(JSON_TYPES)
        return fuzzed(count, index=where, plan=mutants.steps, around=mutants.replies, kind=kinds)(one)

    return decorate


@fuzzed_mutants(NATIVE, 500)
def test_no_mutant_of_an_ollama_reply_is_a_success_without_an_end(case, reply):
    check(case, reply)


@fuzzed_mutants(OPENAI, 500)
def test_no_mutant_of_an_openai_reply_is_a_success_without_an_end(case, reply):
    check(case, reply)


@fuzzed_mutants(LISTINGS, 150)
def test_no_mutant_of_a_listing_is_read_as_more_than_it_says(case, reply):
    check(case, reply)


def generations(cases):
    """Exchanges whose answer is whole as it was recorded."""
    whole = [case for case in cases if case["status"] == 200 and not embeds(case)]
    return [case for case in whole if isinstance(judged(case, mutants.reply_of(case["body"], PLAIN, "")), Success)]


WHOLE = generations(NATIVE) + generations(OPENAI)


@fuzzed(350, index=st.integers(0, len(WHOLE) - 1), plan=mutants.steps)
def test_a_whole_answer_that_was_changed_keeps_its_end_and_text_or_fails(index, plan):
    case, body = mutant_of(WHOLE, index, plan)
    check(case, mutants.reply_of(body, PLAIN, "application/json"))


STREAMS = [case for case in WHOLE if len(case["body"].splitlines()) > 2]
NEAR_THE_END = st.one_of(st.integers(0, 40), st.integers(0, 2000))


@fuzzed(250, index=st.integers(0, len(STREAMS) - 1), back=NEAR_THE_END, lost=st.integers(0, 300))
def test_a_stream_that_was_cut_or_lost_bytes_near_its_end_is_no_success_without_it(index, back, lost):
    case = STREAMS[-1 - index]
    body = case["body"].rstrip()
    at = max(0, len(body) - 1 - back)

    for left in (body[:at], body[:at] + body[at + lost :]):
        check(case, mutants.reply_of(left, PLAIN, ""))


@fuzzed(100, index=st.integers(0, len(WHOLE) - 1), name=texts, first=st.booleans())
def test_an_answer_that_names_another_model_fails_without_its_name(index, name, first):
    case = WHOLE[index]
    changed = json.dumps({"model": mutants.CANARY + name})[1:-1].encode()
    body = re.sub(rb'"model":\s?"[^"]*"', lambda _: changed, case["body"], count=first)
    verdict = judged(case, mutants.reply_of(body, PLAIN, ""))

    assert isinstance(verdict, Failure)
    assert verdict.kind is FailureKind.BAD_REPLY


@fuzzed(120, index=st.integers(0, len(WHOLE) - 1), cuts=st.lists(st.floats(0, 1), max_size=12))
def test_cutting_the_same_bytes_elsewhere_never_changes_the_verdict(index, cuts):
    case = WHOLE[index]
    body, began = case["body"], dialect(case).began
    places = [0, *sorted(int(cut * len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    tokens = [began(piece) for piece in pieces]
    whole = judged(case, mutants.reply_of(body, PLAIN, ""))
    cut = judged(case, mutants.reply_of(b"".join(pieces), (*PLAIN[:4], any(tokens)), ""))

    assert (cut.text, cut.finish_reason, cut.usage) == (whole.text, whole.finish_reason, whole.usage)
    assert began(body) or not any(tokens)


def respelled(body, *, spaces, ascii_only):
    """The same frames, their JSON written otherwise."""
    events = body.lstrip(b": ping\n").startswith((b"data:", b"event:"))
    found, _, ended = oracle.frames(body)
    gap = " " * spaces
    written = [json.dumps(thing, ensure_ascii=ascii_only, separators=("," + gap, ":" + gap)) for thing in found]
    if not events:
        return ("\n" + gap).join(written).encode()
    lines = [f"data:{gap}{piece}" for piece in (*written, *(["[DONE]"] if ended else []))]
    return ("\r\n\r\n" if spaces % 2 else "\n\n").join(lines).encode()


@fuzzed(100, index=st.integers(0, len(WHOLE) - 1), spaces=st.integers(0, 3), ascii_only=st.booleans())
def test_the_same_frames_written_otherwise_are_the_same_answer(index, spaces, ascii_only):
    case = WHOLE[index]
    whole = judged(case, mutants.reply_of(case["body"], PLAIN, ""))
    body = respelled(case["body"], spaces=spaces, ascii_only=ascii_only)

    assert_same(judged(case, mutants.reply_of(body, PLAIN, "")), whole)


def assert_same(one, other):
    both = [msgspec.structs.replace(verdict, logprobs=None) for verdict in (one, other)]
    assert both[0] == both[1]


ENVELOPES = st.sampled_from(
    (b'{"error":%s}', b'{"error":{"message":%s}}', b'{"message":%s}', b'{"detail":[%s]}', b"%s")
)


@fuzzed(200, envelope=ENVELOPES, text=st.text(max_size=60), bare=st.booleans(), around=mutants.replies)
def test_any_refusal_has_a_kind_of_the_list_and_keeps_its_words_to_itself(envelope, text, bare, around):
    words = text.encode("utf-8", "surrogatepass") if bare else json.dumps(mutants.CANARY + text).encode()
    body = envelope.replace(b"%s", words)
    for case in (NATIVE[0], OPENAI[0], LISTINGS[0]):
        check(case, mutants.reply_of(body, around, "application/json"))


@pytest.mark.parametrize("case", [*OTHERS, NATIVE[0]], ids=lambda case: case["case"])
def test_the_oracle_calls_an_unchanged_answer_whole(case):
    body = case["body"]
    read = oracle.openai_text if is_openai(case) else oracle.ollama_text
    verdict = judged(case, mutants.reply_of(body, PLAIN, ""))
    if isinstance(verdict, Success):
        assert read(body) == (verdict.text, verdict.thinking or "")


def test_the_oracle_has_whole_answers_of_both_dialects_to_start_from():
    assert sum(is_openai(case) for case in WHOLE) >= 20
    assert sum(not is_openai(case) for case in WHOLE) >= 40
    assert all(isinstance(judged(case, mutants.reply_of(case["body"], PLAIN, "")), Success) for case in OTHERS)
