"""Values that config files mark as published, with their sources, and checks against known values of the sources.

A comment marks the value on its line, or, on lines of its own, the value that follows:

    temperature=0.07,  # published: SLidR, config/slidr_minkunet.yaml
    learning_rate=1e-3,  # ours, of AdamW; published: SLidR, SGD at 0.5

A comment that starts with `published: SOURCE` marks the value as published; further on it reports what the source has
instead. SOURCE is one of SOURCES, then the equation, table or file. The word is used in comments in no other way.
"""

from __future__ import annotations

import ast
import fnmatch
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = {
    "BEVContrast": "Sautier et al., 3DV 2024; valeoai/BEVContrast",
    "BEVFusion": "Liu et al., ICRA 2023; mit-han-lab/bevfusion, files below configs/nuscenes",
    "CALICO": "Sun et al., ICLR 2024, arXiv 2306.00349, as its public reviews quote it",
    "CenterPoint": "Yin et al., CVPR 2021; tianweiy/CenterPoint",
    "CLIP2Scene": "Chen et al., CVPR 2023, arXiv 2301.04926",
    "FCAF3D": "Rukhovich et al., ECCV 2022",
    "PointContrast": "Xie et al., ECCV 2020",
    "ScaLR": "Puy et al., CVPR 2024; valeoai/ScaLR",
    "SegContrast": "Nunes et al., RA-L 2022; PRBonn/segcontrast",
    "SimIPU": "Li et al., AAAI 2022",
    "SLidR": "Sautier et al., CVPR 2022; valeoai/SLidR",
    "TransFusion": "Bai et al., CVPR 2022",
}
_MENTION = re.compile(r"published(?:: (?P<source>[A-Za-z0-9]+), (?P<where>[^;]*[^;\s]))?")


@dataclass(frozen=True)
class Mark:
    """A value that a config file marks as published.

    Args:
        file: below the folder of configs.
        line: of the value.
        key: of the value, such as "method.temperature".
        value: as it is written.
        source: one of SOURCES.
        where: equation, table or file of the source.
    """

    file: str
    line: int
    key: str
    value: str
    source: str
    where: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key} = {self.value}  ({self.source}, {self.where})"


@dataclass(frozen=True)
class Fact:
    """The value in a source, for values that earlier configs had wrong.

    Args:
        configs: pattern of config names.
        key: in the config after inheritance.
        expected: its value; NOT_PUBLISHED: no config may call this value published.
        source: place in the source.
    """

    configs: str
    key: str
    expected: Any
    source: str


NOT_PUBLISHED = object()
_SWINT = "BEVFusion, det/centerhead/lssfpn/camera"
_ONE_IMAGE_20000_POINTS = [
    {"type": "pc_ssl.data.thinning.OneImage"},
    {"type": "pc_ssl.data.thinning.PointLimit", "count": 20000},
]
FACTS = (
    # lr = 1e-4 is the first step of mmcv's cycle, whose peak is ten times that; camera alone: 2e-4, five times
    Fact("det_nuscenes_*", "train.learning_rate", 1e-3, "BEVFusion, det/transfusion/secfpn, lr and cyclic"),
    Fact("map_nuscenes_*", "train.learning_rate", 1e-3, "BEVFusion, seg"),
    Fact("det_nuscenes_c", "train.schedule.peak_ratio", 5.0, f"{_SWINT}/256x704/swint/default.yaml, target_ratio"),
    Fact("det_nuscenes_c", "task.views.augmentation.rotation", 0.3925, f"{_SWINT}/default.yaml, augment3d.rotate"),
    Fact("det_nuscenes_c", "task.views.augmentation.scale", (0.95, 1.05), f"{_SWINT}/default.yaml, augment3d.scale"),
    Fact("det_nuscenes_c", "task.views.augmentation.shift", 0.0, f"{_SWINT}/default.yaml, augment3d.translate"),
    Fact("???_nuscenes_*c", "task.views.images.evaluation_resize", 0.48, "BEVFusion, default.yaml, augment2d.resize"),
    Fact("det_nuscenes_*", "label_rule", "calico", "CALICO, scenes[::int(1 / fraction)]"),
    Fact("map_nuscenes_*", "label_rule", "calico", "CALICO, scenes[::int(1 / fraction)]"),
    Fact("clip2scene_*", "method.temperature", 0.5, "CLIP2Scene, Eq. 1"),
    Fact("clip2scene_*", "method.attention_temperature", 1.0, "CLIP2Scene, Eq. 3 and 4, lambda"),
    Fact("bev_contrast_*", "train.schedule.warmup_share", 0.05, "BEVContrast, utils/optimizer.py"),
    Fact("bev_contrast_*", "train.schedule.floor", 0.01, "BEVContrast, utils/optimizer.py"),
    Fact("scalr_*", "train.schedule.warmup_steps", 3500, "ScaLR, configs/pretrain/WI_768_pretrain.yaml"),
    Fact("scalr_*", "transforms", _ONE_IMAGE_20000_POINTS, "ScaLR, WI_768_pretrain.yaml, max_points"),
    Fact("seg_contrast_*", "method.embedding_channels", 128, "SegContrast, the reference code"),
    Fact("prc_nuscenes_*", "method.alpha", 0.5, "CALICO, Eq. 2"),
    Fact("rad_nuscenes_*", "method.weighting", "region", "CALICO, Eq. 3"),
    Fact("*_nuscenes_second", "method.backbone.block", "residual", "BEVFusion, lidar/voxelnet_0p075.yaml"),
    Fact("*_nuscenes_pillars", "method.backbone.point_layers", 2, "BEVFusion, lidar/pointpillars.yaml"),
    Fact("rad_nuscenes_second", "method.backbone.lidar_depth", True, "BEVFusion, camera+lidar/default.yaml"),
    Fact("???_nuscenes_second_lc", "task.backbone.fuser.type", "pc_ssl.models.fusion.NeckFuser", "BEVFusion"),
    # known from memory alone
    Fact("fac_*", "region", NOT_PUBLISHED, "FAC's abstract says segments; no formula of FAC is public"),
)


def marks_of(root: Path) -> tuple[list[Mark], list[str]]:
    """The marks in all config files below `root`, in the order of files and lines, and what is wrong with comments."""
    marks: list[Mark] = []
    problems: list[str] = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        text = path.read_text()
        values = _values(text)
        for line, comment in _comments(text):
            for mention in _MENTION.finditer(comment):
                source, where = mention["source"], mention["where"]
                if source not in SOURCES:
                    found = "no source" if source is None else f"the source {source!r}"
                    problems.append(
                        f"{name}:{line}: {comment!r} names {found}; write `published: SOURCE, equation or file` "
                        f"with one of {', '.join(SOURCES)}"
                    )
                elif mention.start() == 0:
                    key, value = _marked(values, line)
                    if key:
                        marks.append(Mark(name, line, key, value, source, where))
                    else:
                        problems.append(f"{name}:{line}: {comment!r} marks no value")
    return marks, problems


def contradictions(marks: list[Mark], configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where configs, by name their values as `RunConfig.flat` gives them, contradict FACTS."""
    problems = []
    for fact in FACTS:
        if fact.expected is NOT_PUBLISHED:
            for mark in marks:
                if fnmatch.fnmatch(Path(mark.file).stem, fact.configs) and mark.key == fact.key:
                    problems.append(f"{mark.file}:{mark.line}: {mark.key} is called published, but {fact.source}")
            continue
        for name, values in configs.items():
            if fnmatch.fnmatch(name, fact.configs) and fact.key in values and values[fact.key] != fact.expected:
                problems.append(f"{name}: {fact.key} is {values[fact.key]!r}, but {fact.expected!r} in {fact.source}")
    return problems


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Each comment with the line of the code that it belongs to; comments on lines of their own are joined."""
    lines = text.splitlines()
    block: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        content, row = token.string.lstrip("# ").rstrip(), token.start[0]
        if not lines[row - 1].lstrip().startswith("#"):
            yield row, content
            continue
        block.append(content)
        if row == len(lines) or not lines[row].lstrip().startswith("#"):
            yield row + 1, " ".join(block)
            block = []


def _values(text: str) -> list[tuple[int, int, str, str]]:
    """First line, last line, key and source text of every assigned value and named argument, outer ones first."""
    found: list[tuple[int, int, str, str]] = []

    def visit(node: ast.expr, key: str, first: int) -> None:
        found.append((first, node.end_lineno or first, key, ast.unparse(node)))
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg is not None:
                    visit(keyword.value, f"{key}.{keyword.arg}", keyword.lineno)
        elif isinstance(node, ast.Dict):
            for name, value in zip(node.keys, node.values, strict=True):
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    visit(value, f"{key}.{name.value}", name.lineno)

    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            visit(statement.value, statement.targets[0].id, statement.lineno)
    return found


def _marked(values: list[tuple[int, int, str, str]], line: int) -> tuple[str, str]:
    """Key and text of the outermost value that starts on a line, or else the innermost that ends there."""
    starting = [(key, text) for first, _, key, text in values if first == line]
    ending = [(key, text) for _, last, key, text in values if last == line]
    return starting[0] if starting else ending[-1] if ending else ("", "")
