"""Counters, histograms and random choices."""

from tatsumaki_py.counters import Counters, Histogram, any_of


def test_histogram():
    """A duration is in the first bucket whose bound it does not exceed."""
    histogram = Histogram(0.1, 1.0)
    for seconds, times in ((0.05, 1), (0.1, 2), (0.5, 3), (7, 4), (-1, 1)):
        histogram.observe(seconds, times)
    assert histogram.counts == [4, 3, 4]
    assert round(histogram.sum, 6) == 0.05 + 0.2 + 1.5 + 28


def test_any_of():
    """`any_of` chooses each item about equally often."""
    chosen = [any_of("abcd") for _ in range(4000)]
    assert all(800 < chosen.count(one) < 1200 for one in "abcd")


def test_delivered(monkeypatch):
    """`delivered` counts one event of a slice for all of them, times the number of clients.

    Events of unknown age, and events from before the client, are not counted.
    """
    counters = Counters()
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    counters.delivered([99.98, 99.98], 1000)
    counters.delivered([], 1000)
    counters.delivered([0.0], 1000)
    counters.delivered([90.0], since=95.0)
    assert sum(counters.delivery.counts) == 2000
    assert counters.delivery.counts[counters.delivery.bounds.index(0.025)] == 2000
    for _ in range(2000):
        counters.delivered([99.0, 95.0, 95.0, 95.0], 1)
    share = counters.delivery.counts[counters.delivery.bounds.index(1.0)] / 8000
    assert 0.2 < share < 0.3
