"""Bootstrap intervals against scipy, values computed by hand, and their coverage in simulated experiments."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pc_ssl.experiments.bootstrap import Interval, Score, paired_difference, percentile_interval, resamples


def mean_of(values: np.ndarray) -> Score:
    """A run whose score is the mean of one value for each scene."""
    return lambda times: times @ values / times.sum(axis=1)


ZERO = mean_of(np.zeros(30))


def test_a_resample_draws_as_many_as_there_are() -> None:
    times = resamples(7, 2000, np.random.default_rng(0))
    assert times.shape == (2000, 7)
    assert (times.sum(axis=1) == 7).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.1)  # each once on average
    np.testing.assert_allclose(times.var(axis=0), 6 / 7, atol=0.1)  # variance of a binomial(7, 1/7)


def test_over_scenes_alone_it_agrees_with_scipy() -> None:
    values = np.random.default_rng(5).gamma(2.0, size=30)
    found = paired_difference([mean_of(values)] * 2, [ZERO] * 2, 30, count=20_000).interval
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.03 * width)
    assert found.high == pytest.approx(expected.high, abs=0.03 * width)


def test_over_seeds_alone_it_agrees_with_scipy() -> None:
    of_seeds = np.array([0.3, 7.1, 3.9, -1.0, 2.2, 5.0])
    runs = [mean_of(np.full(30, value)) for value in of_seeds]
    found = paired_difference(runs, [ZERO] * 6, 30, count=20_000)
    expected = stats.bootstrap(
        (of_seeds,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == pytest.approx(of_seeds.mean())
    assert found.interval.low == pytest.approx(expected.low, abs=0.15)
    assert found.interval.high == pytest.approx(expected.high, abs=0.15)


def test_two_seeds_and_two_scenes_by_hand() -> None:
    """All 16 equally likely resamples are enumerated; differences of runs (0, 4) and (2, 10) on the two scenes."""
    table = np.array([[0.0, 4.0], [2.0, 10.0]])
    outcomes = sorted(
        np.mean([table[k, s] for k in seeds for s in scenes])
        for seeds in itertools.product((0, 1), repeat=2)
        for scenes in itertools.product((0, 1), repeat=2)
    )
    assert (outcomes[0], outcomes[-1]) == (0, 10)  # each of probability 1/16, above the 5 % of either tail
    found = paired_difference([mean_of(table[0]), mean_of(table[1])], [mean_of(np.zeros(2))] * 2, 2, level=0.9)
    assert found.value == 4.0
    assert found.interval == Interval(0.0, 10.0)
    half = paired_difference([mean_of(table[0]), mean_of(table[1])], [mean_of(np.zeros(2))] * 2, 2, level=0.5)
    assert (half.interval.low, half.interval.high) == (2.0, 6.0)  # 0 1 1 2 2 2 4 4 4 4 4 6 6 7 7 10


def test_what_both_starts_share_does_not_widen_the_interval() -> None:
    """Scenes of very different difficulty, a constant gain of 2 on each: the paired interval has no width."""
    hard = np.linspace(0, 100, 30)
    found = paired_difference([mean_of(hard + 2)] * 3, [mean_of(hard)] * 3, 30, count=500)
    assert (found.interval.low, found.interval.high) == (pytest.approx(2), pytest.approx(2))


def test_a_ratio_of_summed_counts_is_resampled_not_a_mean_of_ratios() -> None:
    hits, unions = np.array([1, 90]), np.array([10, 100])

    def iou(times: np.ndarray) -> np.ndarray:
        return (times @ hits) / (times @ unions)

    found = paired_difference([iou] * 2, [mean_of(np.zeros(2))] * 2, 2, level=0.9)
    assert found.value == pytest.approx(91 / 110)  # the mean of the ratios would be 0.5
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.1), pytest.approx(0.9))


def test_a_run_without_a_score_on_a_resample_leaves_that_resample_out() -> None:
    def undefined_without_first(times: np.ndarray) -> np.ndarray:
        return np.where(times[:, 0] > 0, 1.0, np.nan)

    found = paired_difference([undefined_without_first] * 2, [mean_of(np.zeros(3))] * 2, 3, count=500)
    assert found.interval == Interval(1.0, 1.0)
    with pytest.raises(ValueError, match="no resample"):
        percentile_interval(np.full(3, np.nan))


@pytest.mark.parametrize(
    ("spread_of_seeds", "spread_of_scenes", "noise", "lowest"), [(2, 3, 5, 0.90), (2, 0, 5, 0.90), (0.5, 3, 8, 0.95)]
)
def test_intervals_cover_the_true_difference(
    spread_of_seeds: float, spread_of_scenes: float, noise: float, lowest: float
) -> None:
    """Simulated experiments of 5 seeds and 32 scenes, true difference 1: seeds, scenes and single scores vary."""
    generator, covered, count = np.random.default_rng(3), 0, 300
    for _ in range(count):
        table = 1 + generator.normal(0, spread_of_seeds, (5, 1)) + generator.normal(0, spread_of_scenes, (1, 32))
        table = table + generator.normal(0, noise, (5, 32))
        found = paired_difference(
            [mean_of(row) for row in table],
            [mean_of(np.zeros(32))] * 5,
            32,
            count=300,
            seed=int(generator.integers(1e6)),
        )
        covered += found.interval.low <= 1 <= found.interval.high
    assert covered / count >= lowest


@pytest.mark.parametrize(("runs", "others", "scenes"), [(1, 1, 5), (3, 2, 5), (3, 3, 0)])
def test_unpaired_or_single_runs_have_no_interval(runs: int, others: int, scenes: int) -> None:
    with pytest.raises(ValueError, match="expected at least"):
        paired_difference([ZERO] * runs, [ZERO] * others, scenes)
