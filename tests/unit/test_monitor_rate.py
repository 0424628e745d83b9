import pytest

from arriero.monitor.rate import WINDOW_S, Rate, per_s, window_s


def test_a_steady_stream_is_told_at_its_own_rate():
    rate = Rate()
    for tenth in range(1000):
        rate.add(tenth / 10, 7)
    now = 99.95

    assert per_s([rate.totals(now)], window_s(now, 0.0)) == pytest.approx((10, 70), rel=0.02)


def test_what_is_older_than_the_window_is_forgotten():
    rate = Rate()
    rate.add(5.0, 100)

    assert rate.totals(5.0 + WINDOW_S - 1) == (1, 100)
    assert rate.totals(5.0 + WINDOW_S + 1) == (0, 0)


def test_memory_is_one_place_a_second_of_the_window():
    rate = Rate()
    for second in range(10_000):
        rate.add(float(second), 1)

    assert len(rate._seconds) == WINDOW_S


def test_a_clock_that_reads_a_little_earlier_loses_no_commit():
    rate = Rate()
    rate.add(10.1, 1)
    rate.add(9.9, 1)

    assert rate.totals(10.2) == (2, 2)


def test_a_young_batch_is_measured_over_the_time_it_has_run():
    assert window_s(105.5, since=100.0) == pytest.approx(5.5)
    assert window_s(100.1, since=100.0) == 1.0
    assert window_s(1000.5, since=0.0) == pytest.approx(WINDOW_S - 0.5)
