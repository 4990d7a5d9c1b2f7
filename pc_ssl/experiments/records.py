"""Results as long-form records: one line for each number that a run measured.

`records.jsonl` holds them as JSON lines and `records.csv` as a table, with the fields of `Record`. Tables, pictures and
statistics are made from them alone.
"""

from __future__ import annotations

import csv
import io
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.evaluation.bev_map import BevMapResult
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.indoor_detection import THRESHOLDS, IndoorDetectionResult
from pc_ssl.evaluation.run_result import Result
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.experiments.json_lines import read_lines, write_lines
from pc_ssl.experiments.outcomes import Outcome
from pc_ssl.files import write_bytes

JSON_LINES, CSV = "records.jsonl", "records.csv"
ALL = "all"  # scene of a number that is of the whole split
SCORES = {  # metric of the whole split -> its name in tables; a task has one or two
    "miou": "mIoU",
    "nds": "NDS",
    "map": "mAP",
    **{f"map@{threshold:g}": f"mAP@{threshold:g}" for threshold in THRESHOLDS},
}


@dataclass(frozen=True)
class Record:
    """One number.

    Args:
        method: of the plan.
        evaluation: of the plan, or "pretrain" for what the method's pretrainings cost.
        variant: of the evaluation data; "": the validation split.
        seed: of the run.
        fraction: labelled share of the training scenes.
        metric: "miou", "nds", "map", "map@0.25", "map@0.5" in [0, 1]; "iou/CLASS" and "ap/CLASS" in [0, 1]; "seconds",
            "peak_memory_mib".
        scene: that was evaluated; "all": the whole split.
        value: of the metric.
    """

    method: str
    evaluation: str
    variant: str
    seed: int
    fraction: float
    metric: str
    scene: str
    value: float


def measures(result: Result) -> dict[tuple[str, str], float]:
    """(metric, scene) -> value of all values of a result; classes without a value are left out.

    Points and maps are scored for each scene too; nuScenes' detection score and the average precision of boxes are of a
    whole split only.
    """
    if isinstance(result, SegmentationResult | BevMapResult):
        values: dict[tuple[str, str], float | None] = {("miou", ALL): result.miou}
        classes = zip(result.class_names, result.iou, strict=True)
        values |= {(f"iou/{name}", ALL): value for name, value in classes}
        values |= {("miou", scene): value for scene, value in result.scene_miou.items()}
    elif isinstance(result, DetectionResult):
        values = {("nds", ALL): result.nds, ("map", ALL): result.mean_average_precision}
        values |= {(f"ap/{of.name}", ALL): of.mean_average_precision for of in result.classes if of.boxes}
    else:
        values = _of_rooms(result)
    return {key: value for key, value in values.items() if value is not None}


def _of_rooms(result: IndoorDetectionResult) -> dict[tuple[str, str], float | None]:
    values: dict[tuple[str, str], float | None] = {}
    for threshold, mean, row in zip(THRESHOLDS, result.mean_average_precision, result.average_precision, strict=True):
        values[f"map@{threshold:g}", ALL] = mean
        values |= {(f"ap@{threshold:g}/{name}", ALL): v for name, v in zip(result.class_names, row, strict=True)}
    return values


def records_of(outcome: Outcome) -> list[Record]:
    """All values that a run measured."""
    where = (outcome.method, outcome.evaluation, outcome.variant, outcome.seed, outcome.fraction)
    return [Record(*where, metric, scene, value) for (metric, scene), value in measures(outcome.result).items()]


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Write records.jsonl and records.csv, each atomically.

    Raises:
        UserError: the folder cannot be written.
    """
    rows = [asdict(record) for record in records]
    write_lines(folder / JSON_LINES, rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Record)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(folder / CSV, file.getvalue().encode())


def read_records(path: Path) -> list[Record]:
    """Read records.jsonl.

    Raises:
        UserError: it cannot be read, or a line is not a record.
    """
    return [_record(path, number, line) for number, line in read_lines(path)]


def _record(path: Path, number: int, content: Mapping[str, Any]) -> Record:
    for name, kind in typing.get_type_hints(Record).items():
        value = content.get(name)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise UserError(f"{path}: line {number}: field {name!r} is {value!r}, expected {kind.__name__}")
    return Record(**{name: content[name] for name in typing.get_type_hints(Record)})


def values_of(records: Sequence[Record], **wanted: object) -> tuple[float, ...]:
    """Values of the records whose fields equal `wanted`, in the order of their seeds."""
    found = [record for record in records if all(getattr(record, name) == value for name, value in wanted.items())]
    return tuple(record.value for record in sorted(found, key=lambda record: record.seed))
