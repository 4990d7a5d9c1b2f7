import csv
from pathlib import Path

import pytest

from pc_ssl.errors import UserError
from pc_ssl.evaluation.class_counts import ClassCounts
from pc_ssl.evaluation.indoor_detection import IndoorDetectionResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.experiments import Record, read_records
from pc_ssl.experiments.records import measures, values_of, write_records

RECORDS = [
    Record("scratch", "probe", "", 0, 1.0, "miou", "all", 0.1),
    Record("prc", "finetune", "rain", 1, 0.05, "miou", "street-04", 1 / 3),
]


def test_points_are_measured_by_class_and_by_scene() -> None:
    scenes = {
        "a": ClassCounts((2, 0, 0), (2, 1, 0), (3, 0, 0)),
        "b": ClassCounts((0, 1, 0), (0, 1, 0), (0, 1, 0)),
        "unlabelled": ClassCounts((0, 0, 0), (0, 0, 0), (0, 0, 0)),
    }
    result = SegmentationResult(("car", "road", "tree"), ((2, 0, 0), (1, 1, 0), (0, 0, 0)), 3, scenes)
    assert measures(result) == {
        ("miou", "all"): pytest.approx((2 / 3 + 1 / 2) / 2),
        ("iou/car", "all"): 2 / 3,
        ("iou/road", "all"): 1 / 2,
        ("miou", "a"): pytest.approx((2 / 3 + 0) / 2),
        ("miou", "b"): 1.0,
    }


def test_boxes_in_rooms_are_measured_at_both_overlaps() -> None:
    result = IndoorDetectionResult(("bed", "sofa"), ((0.5, None), (0.25, None)), (3, 0), (4, 0), 2)
    assert measures(result) == {
        ("map@0.25", "all"): 0.5,
        ("ap@0.25/bed", "all"): 0.5,
        ("map@0.5", "all"): 0.25,
        ("ap@0.5/bed", "all"): 0.25,
    }


def test_records_survive_their_files(tmp_path: Path) -> None:
    write_records(tmp_path, RECORDS)
    assert read_records(tmp_path / "records.jsonl") == RECORDS
    with (tmp_path / "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["scratch", "prc"]
    assert float(rows[1]["value"]) == 1 / 3
    assert rows[1]["scene"] == "street-04"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "list, expected a JSON object"),
        ('{"method": "a", "evaluation": "b", "variant": "", "seed": "0"}', "'seed' is '0'"),
        (
            '{"method": "a", "evaluation": "b", "variant": "", "seed": 0, "fraction": 1, "metric": "m", '
            '"scene": "all", "value": true}',
            "'value' is True",
        ),
    ],
)
def test_a_damaged_line_names_file_line_and_field(tmp_path: Path, line: str, shown: str) -> None:
    write_records(tmp_path, RECORDS[:1])
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=rf"records\.jsonl: line 2.*{shown.partition('line 2')[2] or shown}"):
        read_records(path)


def test_values_are_selected_by_field_and_ordered_by_seed() -> None:
    records = [Record("a", "probe", "", seed, 1.0, "miou", "all", seed / 10) for seed in (2, 0, 1)]
    assert values_of([*records, *RECORDS], method="a", metric="miou") == (0.0, 0.1, 0.2)
    assert values_of(records, method="b") == ()
