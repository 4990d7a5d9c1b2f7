import pytest

from pc_ssl.engine.initial import WHOLE
from pc_ssl.experiments import Comparison, Evaluation, Kind, Method, Plan, Pretraining, Record, Spread, Variant

PROBE = Evaluation("probe", "task.py", Kind.PROBE)
FINETUNE = Evaluation("finetune", "task.py", fractions=(0.05, 1.0), variants=(Variant("rain"),))
METHODS = (Method("scratch"), Method("prc", {WHOLE: Pretraining("prc", "prc.py")}, title="PRC"))


def records_of(method: str, evaluation: str, metric: str, values: tuple[float, ...], **fields: object) -> list[Record]:
    whole = {"variant": "", "fraction": 1.0, "scene": "all", **fields}
    return [
        Record(method=method, evaluation=evaluation, seed=seed, metric=metric, value=value, **whole)
        for seed, value in enumerate(values)
    ]


@pytest.fixture
def comparison() -> Comparison:
    records = [
        *records_of("scratch", "probe", "miou", (0.1, 0.2)),
        *records_of("scratch", "probe", "miou", (0.9, 0.9), scene="street-04"),
        *records_of("scratch", "probe", "iou/car", (0.7, 0.7)),
        *records_of("prc", "probe", "miou", (0.2, 0.4)),
        *records_of("scratch", "finetune", "miou", (0.3, 0.5), fraction=0.05),
        *records_of("prc", "finetune", "miou", (0.25, 0.25), fraction=0.05, variant="rain"),
        *records_of("prc", "pretrain", "seconds", (10.0, 12.0)),
        *records_of("prc", "pretrain", "peak_memory_mib", (800.0, 900.0)),
    ]
    return Comparison(Plan(METHODS, (PROBE, FINETUNE), (0, 1)), records, {"steps": 100})


def test_spread_is_mean_and_sample_deviation() -> None:
    assert Spread((1.0, 2.0, 6.0)).mean == 3.0
    assert Spread((1.0, 2.0, 6.0)).std == pytest.approx(7**0.5)
    assert Spread((0.25,)).std is None
    assert Spread((0.25,)).text(100, 1) == "25.0"


def test_methods_are_rows_and_only_scores_of_the_whole_split_are_columns(comparison: Comparison) -> None:
    table = comparison.by_method()
    assert table.header == ["mIoU %", "linear probe", "5 %", "fine-tuning on rain, 5 %", "pretraining s", "peak MiB"]
    assert table.rows == [
        ["scratch", "15.0 +- 7.1", "40.0 +- 14.1", "-", "-", "-"],
        ["PRC", "30.0 +- 14.1", "-", "25.0 +- 0.0", "11 +- 1", "850 +- 71"],
    ]
    assert comparison.about == "Mean and standard deviation over 2 seeds; steps 100."


def test_several_metrics_are_named() -> None:
    boxes = Evaluation("boxes", "task.py", title="detection")
    plan = Plan((*METHODS, Method("third")), (boxes,), (0,))
    records = [*records_of("prc", "boxes", "nds", (0.5,)), *records_of("prc", "boxes", "map", (0.25,))]
    comparison = Comparison(plan, records, {})
    assert comparison.by_method().header[:3] == ["%", "detection, 100 %, NDS", "detection, 100 %, mAP"]


def test_tables_are_aligned_as_text_and_marked_up(comparison: Comparison) -> None:
    table = comparison.by_method()
    assert len({len(line) for line in table.text().splitlines()}) == 1
    lines = table.markdown().splitlines()
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[2].startswith("| scratch | 15.0 +- 7.1 |")
