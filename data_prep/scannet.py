"""ScanNet v2: each room is one frame in axis-aligned coordinates, z up from the floor; RGB-D frames are its cameras.

    reader = ScanNetReader(Path("/data/scannet"))
    frame = reader.frames("train")[0]
    raw = reader.source(frame).read()

Points are the vertices of `_vh_clean_2.ply` in file order, so that predictions can be submitted to the benchmark.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.reader import FrameName, of_split
from data_prep.regions.graph import MESH_THRESHOLD, MESH_VERTICES
from data_prep.scannet_names import BOX_CLASSES, LABEL_CLASSES
from data_prep.scannet_source import COLUMNS, LABEL_TABLE, ScanNetSource, ScenePaths
from pc_ssl.errors import UsageError, UserError
from pc_ssl.files import may_enter, read_bytes

FOLDERS = ("scans", "scans_test")
SCENE = re.compile(r"scene\d{4}_\d{2}")
SPLIT_FILE = re.compile(r"scannetv2_([A-Za-z0-9_-]+)\.txt")
FRAME_STEP = 20  # at 30 frames per second; as in ScanNet's image benchmark


class ScanNetReader:
    """Reads a ScanNet v2 data root.

    Args:
        root: data root with `scans/` (and `scans_test/`), and the benchmark's lists of scenes
            `scannetv2_train.txt`, ...
        frame_step: RGB-D frames whose number is a multiple of it become cameras.
        images: whether to prepare RGB-D frames.

    Raises:
        UserError: the root does not exist, or has no scenes.
        UsageError: frame_step is not positive.
    """

    def __init__(self, root: Path, frame_step: int = FRAME_STEP, images: bool = True) -> None:
        if frame_step < 1:
            raise UsageError(f"frame-step: {frame_step} is not positive")
        if not root.is_dir():
            raise UserError(f"{root}: no such folder")
        self.root, self.frame_step, self.images = root, frame_step, images
        if not self._scenes:
            raise UserError(f"{root}: has no scans/sceneNNNN_NN, expected a root of ScanNet v2")

    def options(self) -> dict[str, Any]:
        # segmentation of scenes without segments; version 2: normals and edges as in ScanNet's segmentator
        cut = {"threshold": MESH_THRESHOLD, "min_vertices": MESH_VERTICES, "version": 2}
        chosen: dict[str, Any] = {"frame_step": self.frame_step, "columns": list(COLUMNS), "mesh_segments": cut}
        if not self.images:  # recorded only if False, so that older caches without this option remain valid
            chosen["images"] = False
        return {"dataset": "scannet", "version": "v2", **chosen}

    def classes(self) -> dict[str, list[str]]:
        return {"label": LABEL_CLASSES, "box": BOX_CLASSES}

    def columns(self) -> tuple[str, ...]:
        return COLUMNS

    def splits(self) -> dict[str, list[str]]:
        """The lists `scannetv2_NAME.txt` in the root, from Tasks/Benchmark of ScanNet's code."""
        splits = {}
        for path in sorted(self.root.iterdir()):
            match = SPLIT_FILE.fullmatch(path.name)
            if match:
                scenes = read_bytes(path).decode("latin-1").split()
                wrong = next((scene for scene in scenes if not SCENE.fullmatch(scene)), None)
                if wrong is not None:
                    raise UserError(f"{path}: holds {wrong[:40]!r}, expected names of scenes such as scene0000_00")
                splits[match[1]] = scenes
        return splits

    def absent(self) -> list[str]:
        paths = [self._paths(scene) for scene in self._scenes]
        from_names = (self.root / LABEL_TABLE).is_file()
        missing = {
            "labels (no point labels)": sum(
                not of.labels.is_file() and not (from_names and of.aggregation.is_file()) for of in paths
            ),
            "segments (region/segment is computed from the mesh, if it has faces)": sum(
                not of.segments.is_file() for of in paths
            ),
            "aggregation (no instances and boxes)": sum(not of.aggregation.is_file() for of in paths),
            "description (no axis alignment)": sum(not of.description.is_file() for of in paths),
            "RGB-D frames (no images)": sum(not of.has_frames for of in paths),
        }
        phrases = [
            f"{path} (no permission to read the folder)" for path in self._folders if path.name not in self._scenes
        ]
        phrases += [f"{what} of {count} of {len(paths)} scenes" for what, count in missing.items() if count]
        return phrases if self.splits() else [*phrases, "scannetv2_train.txt and the like (no splits)"]

    def frames(self, split: str | None) -> list[FrameName]:
        return [FrameName(scene, scene, 0) for scene in of_split(self, split, self._scenes, self.root)]

    def source(self, frame: FrameName) -> ScanNetSource:
        return ScanNetSource(self._paths(frame.scene), self.frame_step, self.images)

    def _paths(self, scene: str) -> ScenePaths:
        return ScenePaths(self.root, self._scenes[scene])

    @cached_property
    def _scenes(self) -> dict[str, Path]:
        """Scene -> its folder, in the order of names."""
        return {path.name: path for path in self._folders if may_enter(path)}

    @cached_property
    def _folders(self) -> list[Path]:
        """The scenes' folders, in the order of names."""
        folders = [path for name in FOLDERS for path in (self.root / name).glob("scene*") if path.is_dir()]
        return [path for path in sorted(folders, key=lambda path: path.name) if SCENE.fullmatch(path.name)]
