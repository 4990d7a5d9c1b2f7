"""Differences between starts, with intervals, controls and shares of the room."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from pc_ssl.engine.initial import WHOLE
from pc_ssl.evaluation.class_counts import ClassCounts
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.experiments import Comparison, Evaluation, Method, Plan, Pretraining, Role
from pc_ssl.experiments.effects import Effects, sections_of
from pc_ssl.experiments.outcomes import Outcome, read_outcomes, write_outcomes
from pc_ssl.experiments.records import records_of

LABELS = Method("labels", {WHOLE: Pretraining("labels", "task.py")}, role=Role.POSITIVE_CONTROL)
PRC = Method("prc", {WHOLE: Pretraining("prc", "prc.py")}, title="PRC")
SHUFFLED = Method("shuffled", {WHOLE: Pretraining("shuffled", "prc.py")}, role=Role.NEGATIVE_CONTROL)
TASK = Evaluation("finetune", "task.py", fractions=(0.05,))
POINTS = 1000  # of each class in each scene


def outcome(method: str, seed: int, right: np.ndarray) -> Outcome:
    """A run that finds `right` [S, 2] of the points of two classes in each scene, and takes the rest for the other."""
    scenes = {}
    for name, (a, b) in zip("abcdefgh", right.tolist(), strict=False):
        scenes[name] = ClassCounts((a, b), (POINTS, POINTS), (a + POINTS - b, b + POINTS - a))
    a, b = right.sum(axis=0).tolist()
    total = POINTS * len(right)
    result = SegmentationResult(("car", "road"), ((a, total - a), (total - b, b)), len(right), scenes)
    return Outcome(method, "finetune", "", seed, 0.05, "1e-2", "hash", 10.0, result)


def outcomes_of(gains: dict[str, float], seeds: int = 4, scenes: int = 6) -> list[Outcome]:
    """Runs that find so many points more than 500 on average; seeds and scenes vary, the same for all methods."""
    found = []
    for (method, gain), seed in itertools.product(gains.items(), range(seeds)):
        random = np.random.default_rng(seed)
        right = 500 + gain + random.normal(0, 30, (scenes, 2)) + np.arange(scenes)[:, None] * 20
        own = np.random.default_rng([seed, len(method)]).normal(0, 5, (scenes, 2))
        found.append(outcome(method, seed, (right + own).round().astype(int)))
    return found


def effects_of(methods: tuple[Method, ...], outcomes: list[Outcome], requires_controls: bool = False) -> Effects:
    plan = Plan((Method("scratch"), *methods), (TASK,), (0, 1, 2, 3), requires_controls=requires_controls)
    records = [record for one in outcomes for record in records_of(one)]
    (column,) = Comparison(plan, records, {}, outcomes).columns
    return Effects(plan, outcomes, column)


def test_a_start_is_compared_with_scratch_over_pairs_of_seeds() -> None:
    effects = effects_of((LABELS, PRC, SHUFFLED), outcomes_of({"scratch": 0, "labels": 200, "prc": 80, "shuffled": 0}))
    scratch, labels, prc, shuffled = effects.rows
    assert scratch.difference is None
    pairs = [a - b for a, b in zip(prc.spread.runs, scratch.spread.runs, strict=True)]
    assert prc.difference is not None and labels.difference is not None  # noqa: PT018
    assert prc.difference.value == pytest.approx(np.mean(pairs))
    assert [row.verdict for row in effects.rows] == ["", "above", "above", "not shown"]
    assert prc.share == pytest.approx(prc.difference.value / labels.difference.value)
    assert 0.3 < prc.share < 0.5
    header, cells = effects.table().header, effects.table().rows[2]
    assert header == ["mIoU %", "mean", "minus scratch", "95 % interval", "", "share of room", "setting"]
    assert cells[0] == "PRC"
    assert cells[2] == f"{100 * prc.difference.value:+.1f}"
    low, high = (float(part) for part in cells[3].split(" to "))
    assert low < 100 * prc.difference.value < high
    assert shuffled.difference is not None
    assert shuffled.difference.interval.low < 0 < shuffled.difference.interval.high


def test_the_interval_is_that_of_mean_ious_from_summed_counts() -> None:
    """Independent: every resample's confusion is summed and scored here, from the counts of single scenes."""
    outcomes = outcomes_of({"scratch": 0, "prc": 30}, seeds=3, scenes=4)
    found = effects_of((PRC,), outcomes).rows[1].difference
    by = {(one.method, one.seed): list(one.result.scenes.values()) for one in outcomes}
    random, values = np.random.default_rng(9), []
    for _ in range(4000):
        seeds, scenes = random.integers(0, 3, 3), random.integers(0, 4, 4)
        means = {}
        for method in ("scratch", "prc"):
            scores = []
            for seed in seeds:
                counts = [by[method, seed][scene] for scene in scenes]
                hit, union = (np.sum([getattr(c, name) for c in counts], axis=0) for name in ("true_positive", "union"))
                scores.append((hit / union).mean())
            means[method] = np.mean(scores)
        values.append(means["prc"] - means["scratch"])
    low, high = np.quantile(values, [0.025, 0.975])
    assert found is not None
    assert found.interval.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.interval.high == pytest.approx(high, abs=0.05 * (high - low))


def test_a_worse_start_lies_below_and_there_is_no_share_without_room() -> None:
    effects = effects_of((LABELS, PRC), outcomes_of({"scratch": 0, "labels": 0, "prc": -80}))
    assert [row.verdict for row in effects.rows] == ["", "not shown", "below"]
    assert [row.share for row in effects.rows] == [None, None, None]


def test_one_seed_has_no_interval() -> None:
    effects = effects_of((PRC,), outcomes_of({"scratch": 0, "prc": 80}, seeds=1))
    assert effects.rows[1].difference is None


def test_seeds_of_only_one_start_are_not_compared() -> None:
    outcomes = outcomes_of({"scratch": 0, "prc": 80})
    without = [one for one in outcomes if (one.method, one.seed) != ("scratch", 2)]
    difference = effects_of((PRC,), without).rows[1].difference
    scores = {(one.method, one.seed): one.result.score for one in outcomes}
    assert difference is not None
    assert difference.value == pytest.approx(np.mean([scores["prc", k] - scores["scratch", k] for k in (0, 1, 3)]))


@pytest.mark.parametrize(
    ("methods", "missing"),
    [((LABELS, PRC), "negative control"), ((PRC, SHUFFLED), "positive control"), ((LABELS, PRC, SHUFFLED), "")],
)
def test_a_plan_that_requires_controls_shows_no_scores_without_them(methods: tuple[Method, ...], missing: str) -> None:
    gains = {"scratch": 0, **{method.name: 50 for method in methods}}
    table = effects_of(methods, outcomes_of(gains), requires_controls=True).table()
    if missing:
        assert table.rows == [[f"missing: {missing}"]]
    else:
        assert len(table.rows) == 4


def test_a_comparison_without_controls_says_so() -> None:
    outcomes = outcomes_of({"scratch": 0, "prc": 80})
    plan = Plan((Method("scratch"), PRC), (TASK,), (0, 1, 2, 3))
    records = [record for one in outcomes for record in records_of(one)]
    overview, effects = sections_of(Comparison(plan, records, {}, outcomes))
    assert overview.table.rows[1][0] == "PRC"
    assert "positive control" in effects.note
    assert "negative control" in effects.note


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    outcomes = outcomes_of({"scratch": 0, "prc": 80}, seeds=2)
    write_outcomes(tmp_path / "results.jsonl", outcomes)
    assert read_outcomes(tmp_path / "results.jsonl") == outcomes
