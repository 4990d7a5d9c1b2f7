"""The outcome of one downstream run, as `result.json` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.errors import UserError
from pc_ssl.evaluation.bev_map import BevMapResult
from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.evaluation.indoor_detection import IndoorDetectionResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.files import read_json, write_json
from pc_ssl.progress import duration
from pc_ssl.version import __version__

RESULT = "result.json"
WEIGHTS = "weights.safetensors"  # of the trained network, in the same folder
CONFIG = "config.py"  # the config after inheritance and overrides


Result = SegmentationResult | DetectionResult | BevMapResult | IndoorDetectionResult
MEASURED: dict[str, type[Result]] = {  # by "measured" in result.json; files without it are of segmentation
    "segmentation": SegmentationResult,
    "detection": DetectionResult,
    "bev_map": BevMapResult,
    "indoor_detection": IndoorDetectionResult,
}


@dataclass(frozen=True)
class RunResult:
    """Settings, inputs and outcome of one run.

    Args:
        settings: everything that determines the outcome, as plain JSON values; two runs with equal settings are the
            same run. "command" is "probe", "finetune" or "evaluate".
        paths: where config, cache and weights were read from.
        scenes: scenes whose labels were trained on.
        num_train_frames: keyframes in them.
        fit: statistics of training: loss, iterations, loaded tensors.
        result: what was measured on the evaluated split.
        seconds: wall-clock time by stage.
        num_split_frames: of the evaluated split, those that could not be prepared or were left out of the evaluation
            included; None in results that were written before it was noted.
        frames: tokens of the labelled frames, if single frames were labelled rather than whole scenes.
        initial: what each file of initial weights is: "part", "file", "sha256", "permuted" (whether the entries were
            permuted, a negative control), "tensors" (their number), and "from", the metadata of the file: the method
            or command that made it, its config and labels. Empty: from scratch, or a result of earlier versions.
    """

    settings: Mapping[str, Any]
    paths: Mapping[str, str | None]
    scenes: tuple[str, ...]
    num_train_frames: int
    fit: Mapping[str, Any]
    result: Result
    seconds: Mapping[str, float]
    num_split_frames: int | None = None
    frames: tuple[str, ...] = ()
    initial: tuple[Mapping[str, Any], ...] = ()

    @property
    def origin(self) -> str:
        """Initialisation of the backbone: "scratch", or the path of the pretrained weights."""
        return self.paths.get("init") or "scratch"

    @property
    def segmentation(self) -> SegmentationResult:
        """The result of a segmentation of points.

        Raises:
            UserError: the run is of another task.
        """
        if not isinstance(self.result, SegmentationResult):
            raise UserError(
                f"{self.paths['config']}: found {self.result.headline}, expected the result of a point segmentation"
            )
        return self.result

    def summary(self) -> str:
        """Lines of text: what was run, the scores of each class, time."""
        spent = ", ".join(f"{stage} {duration(value)}" for stage, value in self.seconds.items())
        judged, of_split = self.result.num_frames, self.num_split_frames
        incomplete = of_split is not None and judged < of_split
        frames = f"{judged} of {of_split} frames, an incomplete split" if incomplete else f"{judged} frames"
        what = f"{self.settings['command']}, split {self.settings['val_split']}: {frames}"
        return f"{what} ({spent})\n{self.result.table()}"

    def write(self, folder: Path) -> None:
        """Write `folder`/result.json, atomically."""
        content = {
            "pc_ssl": __version__,
            "settings": dict(self.settings),
            "paths": dict(self.paths),
            "scenes": list(self.scenes),
            "num_train_frames": self.num_train_frames,
            "fit": dict(self.fit),
            "measured": next(name for name, kind in MEASURED.items() if isinstance(self.result, kind)),
            "result": self.result.as_dict(),
            "seconds": dict(self.seconds),
            "num_split_frames": self.num_split_frames,
            **({"frames": list(self.frames)} if self.frames else {}),
            "initial": [dict(part) for part in self.initial],
        }
        write_json(folder / RESULT, content)

    @classmethod
    def read(cls, path: Path) -> RunResult:
        """Read a result.json.

        Raises:
            UserError: it cannot be read, or a field is missing or of another type.
        """
        content = read_json(path)
        for name, kind in _FIELDS.items():
            if not isinstance(content, dict) or not isinstance(content.get(name), kind):
                raise UserError(f"{path}: has no field {name!r} of type {kind.__name__}; not a result of pc-ssl")
        measured = content.get("measured", "segmentation")
        if measured not in MEASURED:
            raise UserError(f"{path}: field 'measured' is {measured!r}, expected one of {', '.join(MEASURED)}")
        return cls(
            settings=content["settings"],
            paths=content["paths"],
            scenes=tuple(content["scenes"]),
            num_train_frames=content["num_train_frames"],
            fit=content["fit"],
            result=MEASURED[measured].from_dict(content["result"]),
            seconds=content["seconds"],
            num_split_frames=content.get("num_split_frames"),
            frames=tuple(content.get("frames", ())),
            initial=tuple(content.get("initial", ())),
        )


_FIELDS: dict[str, type] = {
    "settings": dict,
    "paths": dict,
    "scenes": list,
    "num_train_frames": int,
    "fit": dict,
    "result": dict,
    "seconds": dict,
}


def finished(folder: Path, settings: Mapping[str, Any]) -> RunResult | None:
    """The result that `folder` already holds for these settings; None if there is none.

    Raises:
        UserError: the folder holds the result of other settings.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    run = RunResult.read(path)
    for name in sorted(set(settings) | set(run.settings)):
        before, now = run.settings.get(name), settings.get(name)
        if before != now:
            raise UserError(
                f"{path}: the result of another run ({name} was {before!r}, now {now!r}); "
                "choose another work folder, or delete this one"
            )
    return run
