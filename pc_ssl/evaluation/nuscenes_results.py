"""Boxes in the format of nuScenes' detection benchmark: in the global frame, by the token of their sample.

Frames: the benchmark's `translation`, `rotation` (quaternion w, x, y, z) and `velocity` are those of the global frame,
`size` is width, length, height; a box without attribute has the attribute "". At most 500 boxes per sample are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pc_ssl.files import write_json
from pc_ssl.heads.attributes import ATTRIBUTES
from pc_ssl.structures import Boxes3D

MAX_BOXES = 500  # per sample; the devkit rejects files with more


def result_boxes(
    token: str, boxes: Boxes3D, class_names: Sequence[str], global_from_lidar: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """The entries of one sample in a results file, highest score first.

    Args:
        token: of the sample.
        boxes: predictions in the LiDAR frame; those beyond the 500 of highest score are left out, and an unknown
            velocity counts as 0, as the format has no value for it.
        class_names: nuScenes' detection classes; labels are indices into it.
        global_from_lidar: [4, 4].

    Raises:
        ValueError: the boxes have no score.
    """
    if boxes.score is None:
        raise ValueError("predictions need scores")
    order = boxes.score.float().argsort(descending=True, stable=True)[:MAX_BOXES]
    best = boxes[order].to("cpu")
    assert best.score is not None
    poses = global_poses(replace(best, box=best.box.nan_to_num()), global_from_lidar)
    attribute = best.attribute if best.attribute is not None else torch.zeros_like(best.label)
    return [
        {
            "sample_token": token,
            **pose,
            "detection_name": class_names[label],
            "detection_score": score,
            "attribute_name": attribute_name(kind),
        }
        for pose, label, score, kind in zip(
            poses, best.label.tolist(), best.score.double().tolist(), attribute.tolist(), strict=True
        )
    ]


def attribute_name(index: int) -> str:
    """nuScenes' name of an index into ATTRIBUTES; "" for none."""
    return ATTRIBUTES[index] if index else ""


def global_poses(boxes: Boxes3D, global_from_lidar: NDArray[np.float64]) -> list[dict[str, list[float]]]:
    """translation [3], size [3] (w l h), rotation [4] (w x y z) and velocity [2] of boxes of the LiDAR frame."""
    from scipy.spatial.transform import Rotation

    box = boxes.box.detach().cpu().double().numpy()
    turn = global_from_lidar[:3, :3]
    centre = box[:, :3] @ turn.T + global_from_lidar[:3, 3]
    if not len(box):
        return []
    xyzw = (Rotation.from_matrix(turn) * Rotation.from_euler("z", box[:, 6:7])).as_quat()
    velocity = box[:, 7:9] @ turn[:2, :2].T
    columns = (centre, box[:, [4, 3, 5]], xyzw[:, [3, 0, 1, 2]], velocity)
    names = ("translation", "size", "rotation", "velocity")
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def recorded_poses(box: NDArray[np.float64]) -> list[dict[str, list[float]]]:
    """As `global_poses`, of recorded boxes [M, 12] of a cache ("box_global"), without loss of precision."""
    parts = {"translation": (0, 3), "size": (3, 6), "rotation": (6, 10), "velocity": (10, 12)}
    return [{name: row[first:end] for name, (first, end) in parts.items()} for row in box.tolist()]


def write_results(
    path: Path, results: Mapping[str, Sequence[Mapping[str, Any]]], *, use_lidar: bool, use_camera: bool
) -> None:
    """Write the file that the devkit's DetectionEval and the benchmark's server read, whole or not at all.

    Args:
        path: of the file.
        results: entries of `result_boxes` by token; every sample of the evaluated split.
        use_lidar: whether points were used.
        use_camera: whether images were used.

    Raises:
        UserError: the file cannot be written.
    """
    meta = {"use_camera": use_camera, "use_lidar": use_lidar, "use_radar": False, "use_map": False}
    content = {sample: list(entries) for sample, entries in results.items()}
    write_json(path, {"meta": {**meta, "use_external": False}, "results": content})
