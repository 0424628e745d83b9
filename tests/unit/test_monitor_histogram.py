import math
import random

import pytest

from arriero.monitor.histogram import GROWTH, LEAST_S, Histogram


def exact(values, rank):
    return sorted(values)[math.ceil(len(values) * rank / 100) - 1]


def filled(values):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", [1, 50, 90, 95, 99.9, 100])
def test_a_percentile_is_within_half_a_bucket_of_the_exact_one(seed, rank):
    chance = random.Random(seed)
    values = [chance.lognormvariate(1, 1.5) for _ in range(800)]

    assert filled(values).percentile(rank) == pytest.approx(exact(values, rank), rel=(GROWTH - 1) / 2 + 1e-3)


def test_merged_histograms_tell_what_one_over_all_values_tells():
    chance = random.Random(1)
    values = [chance.expovariate(0.3) for _ in range(600)]
    merged = filled(values[:200])
    merged.merge(filled(values[200:]))

    assert merged.count == 600
    assert [merged.percentile(rank) for rank in (5, 50, 95)] == [filled(values).percentile(r) for r in (5, 50, 95)]


def test_nothing_recorded_has_no_percentile():
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize("value", [-1.0, 0.0, LEAST_S / 10, 1e300])
def test_values_outside_the_range_are_counted_and_break_nothing(value):
    histogram = filled([value])

    assert histogram.count == 1
    assert histogram.percentile(50) > 0


def test_memory_is_bounded_by_the_range_and_not_by_the_values():
    histogram = filled(10.0 ** (i / 100) for i in range(-600, 900))

    assert len(histogram._buckets) <= 473
