"""Predict: lengths, speeds, prompt tokens and the room a context leaves, on seeded worlds with known truth."""

from __future__ import annotations

from math import exp, log
from random import Random
from statistics import fmean

import pytest

from arriero.core.outcome import Success, Timing, Usage
from arriero.core.policies.predict import Lengths, Pace, room_tokens
from arriero.core.policies.tokens import PromptTokens
from arriero.core.request import Content, Request, Unit

UNIT = Unit("mistral:7b")


def request(position=0, **changes):
    fields = {"batch": 1, "position": position, "line": position + 1, "id": "r", "content": Content(), "unit": UNIT}
    return Request(**(fields | {"size_chars": 300} | changes))


def answer(usage, timing, reason="stop"):
    return Success(text="", finish_reason=reason, usage=usage, timing=timing)


def test_before_any_answer_the_estimate_is_the_prior():
    estimate = Lengths().estimate(request())

    assert estimate.prompt_tokens == 100.0
    assert estimate.output_tokens == pytest.approx(150.0 * exp(0.5))
    assert estimate.q90_tokens == pytest.approx(150.0 * exp(1.2816), rel=1e-3)
    assert estimate.q999_tokens == pytest.approx(150.0 * exp(3.0902), rel=1e-3)


def test_families_are_told_apart_by_their_lengths():
    lengths, random = Lengths(), Random(1)
    for _ in range(60):
        lengths.observe(request(family="short"), Usage(100, int(random.lognormvariate(log(20), 0.3))), "stop")
        lengths.observe(request(family="long"), Usage(100, int(random.lognormvariate(log(900), 0.3))), "stop")

    short, long = (lengths.estimate(request(family=family)) for family in ("short", "long"))
    assert short.output_tokens == pytest.approx(20 * exp(0.045), rel=0.25)
    assert long.output_tokens == pytest.approx(900 * exp(0.045), rel=0.25)
    assert 20 < short.q90_tokens < 45
    assert 900 < long.q90_tokens < 2000


def test_what_was_never_seen_takes_the_mean_of_what_is_around_it():
    lengths = Lengths()
    for _ in range(50):
        lengths.observe(request(family="seen"), Usage(100, 30), "stop")

    assert lengths.estimate(request(family="new")).output_tokens == pytest.approx(30, rel=0.25)
    assert lengths.estimate(request(unit=Unit("other:1b"))).output_tokens == pytest.approx(30, rel=0.35)


def test_the_rows_own_cap_orders_requests_from_the_first_second():
    lengths = Lengths()
    means = [lengths.estimate(request(max_tokens=cap)).output_tokens for cap in (16, 64, 256, 1024)]

    assert means == sorted(means)
    assert means[0] < 16 < means[2] < 256


def test_one_cap_for_all_rows_teaches_the_length_all_the_same():
    lengths = Lengths()
    for _ in range(40):
        lengths.observe(request(max_tokens=2048), Usage(100, 40), "stop")

    assert lengths.estimate(request(max_tokens=2048)).output_tokens == pytest.approx(40, rel=0.2)


def test_no_estimate_passes_the_cap():
    lengths, random = Lengths(), Random(2)
    for _ in range(300):
        capped = request(max_tokens=int(random.lognormvariate(log(4000), 1.5)) + 300)  # caps that say nothing
        lengths.observe(capped, Usage(100, int(random.lognormvariate(log(200), 1.0)) + 1), "stop")
    cut = [min(random.lognormvariate(log(200), 1.0), 250) for _ in range(5000)]

    estimate = lengths.estimate(request(max_tokens=250))
    assert estimate.q90_tokens == estimate.q999_tokens == 250
    assert estimate.output_tokens == pytest.approx(fmean(cut), rel=0.1)


def test_an_answer_cut_at_its_cap_does_not_teach_a_short_length():
    lengths = Lengths()
    for _ in range(200):
        lengths.observe(request(max_tokens=64), Usage(100, 64), "length")

    assert lengths.estimate(request()).output_tokens > 70


def test_the_quantiles_hold_what_they_promise():
    lengths, random = Lengths(), Random(3)
    for _ in range(500):
        lengths.observe(request(), Usage(100, int(random.lognormvariate(log(150), 0.9)) + 1), "stop")

    estimate = lengths.estimate(request())
    longer = sum(random.lognormvariate(log(150), 0.9) > estimate.q90_tokens for _ in range(5000)) / 5000
    assert 0.07 < longer < 0.13


def test_the_version_changes_at_five_percent_more_answers():
    lengths, versions = Lengths(), []
    for _ in range(1000):
        lengths.observe(request(), Usage(100, 50), "stop")
        versions.append(lengths.version)

    assert versions[9] == 10
    assert 70 < versions[-1] < 110
    assert len(set(versions[960:])) <= 2


def test_between_versions_an_estimate_stays_as_it_is():
    lengths = Lengths()
    for _ in range(100):
        lengths.observe(request(), Usage(100, 50), "stop")
    before, version = lengths.estimate(request()), lengths.version
    lengths.observe(request(), Usage(100, 5000), "stop")

    assert lengths.version == version
    assert lengths.estimate(request()).output_tokens == before.output_tokens


def test_memory_is_bounded_whatever_the_rows_look_like():
    lengths = Lengths(keys_most=64)
    for position in range(400):
        row = request(family=f"family {position}", size_chars=position + 1, unit=Unit(f"model {position % 100}"))
        lengths.estimate(row)
        lengths.observe(row, Usage(10, 10), "stop")

    assert max(len(lengths._levels), len(lengths._estimates), len(lengths._tokens)) <= 64
    assert lengths.estimate(request()).output_tokens == pytest.approx(10, rel=0.2)


def test_answers_without_counts_teach_nothing():
    lengths = Lengths()
    before = lengths.estimate(request())
    lengths.observe(request(), Usage(), "stop")

    assert lengths.estimate(request()) == before
    assert lengths.version == 0


def test_a_template_is_kept_apart_from_the_density_of_the_text():
    tokens, random = PromptTokens(), Random(4)
    for _ in range(200):
        chars = random.randrange(20, 400)
        tokens.observe(chars, round(30 + chars / 4.2))

    assert tokens.estimate(40) == pytest.approx(30 + 40 / 4.2, rel=0.1)
    assert tokens.estimate(6000) == pytest.approx(30 + 6000 / 4.2, rel=0.1)


def test_dense_scripts_are_learned_also_from_prompts_of_one_size():
    tokens = PromptTokens()
    for _ in range(20):
        tokens.observe(500, 520)

    assert tokens.estimate(500) == pytest.approx(520)
    assert tokens.estimate(5000) > 4000


@pytest.mark.parametrize(("chars", "count"), [(1, 10**9), (10**9, 1), (0, 50), (50, 0)])
def test_nonsense_counts_stay_within_bounds(chars, count):
    tokens = PromptTokens()
    for _ in range(5):
        tokens.observe(chars, count)

    assert 0.25 <= tokens.chars_per_token <= 20.0
    assert tokens.estimate(1000) >= 50


def test_the_counts_of_one_unit_do_not_move_another():
    lengths = Lengths()
    for _ in range(10):
        lengths.observe(request(size_chars=600), Usage(600, 10), "stop")

    assert lengths.chars_per_token(UNIT) < 1.3
    assert lengths.chars_per_token(Unit("other:1b")) == 3.0


def test_the_room_is_what_the_prompt_leaves_with_a_margin():
    room, unknown = room_tokens(4096, request(size_chars=3000), Lengths())

    assert not unknown
    assert 2900 < room < 4096 - 1000


def test_an_unknown_context_gives_2048_and_says_so():
    assert room_tokens(None, request(), Lengths()) == (2048, True)


def test_the_room_is_never_nothing():
    lengths = Lengths()

    assert room_tokens(4096, request(size_chars=10**6), lengths) == (512, False)
    assert room_tokens(4, request(size_chars=10**6), lengths)[0] == 1


def ollama(prompt, output, prefill_s, decode_s, wait_s=0.0):
    total_s = prefill_s + decode_s + wait_s
    timing = Timing(latency_s=total_s + 0.01, prefill_s=prefill_s, decode_s=decode_s, total_s=total_s, load_s=0.0)
    return answer(Usage(prompt, output), timing)


def test_a_speed_is_learned_the_same_at_any_fill():
    for running in (1, 4, 8):
        pace = Pace()
        for _ in range(50):
            pace.observe(ollama(200, 100, 0.1, 100 * 0.02 * (1 + 0.1 * (running - 1)), wait_s=9.0), running)

        assert pace.known
        assert pace.answers == 50
        assert pace.seconds_per_token(1) == pytest.approx(0.02)
        assert pace.seconds_per_token(8) == pytest.approx(0.034)
        assert pace.prefill_tokens_per_s == pytest.approx(2000)


def test_a_throttled_instance_is_seen_within_ten_answers():
    pace = Pace()
    for _ in range(50):
        pace.observe(ollama(200, 100, 0.1, 2.0), 1)
    for _ in range(10):
        pace.observe(ollama(200, 100, 0.1, 6.0), 1)

    assert pace.seconds_per_token(1) > 0.045


def test_streams_without_timings_tell_prefill_and_decode_apart():
    pace = Pace()
    for _ in range(20):
        pace.observe(answer(Usage(500, 101), Timing(latency_s=2.25, ttft_s=0.25)), 1)

    assert pace.seconds_per_token(1) == pytest.approx(0.02)
    assert pace.prefill_tokens_per_s == pytest.approx(2000)


def test_a_first_token_that_waited_for_a_slot_says_nothing_about_prefill():
    pace = Pace()
    pace.observe(answer(Usage(500, 101), Timing(latency_s=12.25, ttft_s=10.25)), 1, parked=True)

    assert pace.prefill_tokens_per_s == pytest.approx(20 / 0.02)


def test_answers_in_one_piece_still_give_a_speed():
    buffered, unstreamed = Pace(), Pace()
    buffered.observe(answer(Usage(200, 90), Timing(latency_s=2.0, ttft_s=2.0)), 1)
    unstreamed.observe(answer(Usage(200, 90), Timing(latency_s=2.0)), 1)

    assert buffered.seconds_per_token(1) == unstreamed.seconds_per_token(1) == pytest.approx(0.02)


def test_service_time_leaves_the_wait_for_a_slot_out():
    pace = Pace()
    for _ in range(30):
        pace.observe(ollama(200, 100, 0.5, 2.0, wait_s=60.0), 1)

    assert pace.service_s == pytest.approx(2.5)


def test_a_preload_teaches_the_load_time_and_no_speed():
    pace = Pace()
    pace.observe(answer(Usage(), Timing(latency_s=12.0, load_s=11.5), "load"), 1)

    assert pace.load_s == 11.5
    assert not pace.known
    assert pace.answers == 0


def test_an_answer_without_counts_gives_no_speed():
    pace = Pace()
    pace.observe(answer(Usage(), Timing(latency_s=1.0)), 1)

    assert not pace.known
    assert pace.seconds_per_token(1) > 0.0
    assert pace.service_s == 1.0


def test_a_remembered_speed_is_used_until_answers_come():
    pace = Pace(token_s=0.5, load_s=30.0)
    assert pace.known
    assert (pace.seconds_per_token(1), pace.load_s) == (0.5, 30.0)
    pace.observe(ollama(200, 100, 0.1, 2.0), 1)

    assert pace.seconds_per_token(1) < 0.03
