"""The package's configs as a table: method or task, data set, cost of the backbone, published values."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.facts import facts_of_data_set
from pc_ssl.engine import reference_frame
from pc_ssl.engine.catalogue_costs import COSTS
from pc_ssl.engine.cost import Cost, cost_of
from pc_ssl.models.fusion import BevEncoder
from pc_ssl.published import Mark, marks_of
from pc_ssl.recipes import config_folder, recipes
from pc_ssl.structures import PointBatch

FRAME = "one synthetic frame (pc_ssl/engine/reference_frame.py), one forward pass of the backbone"


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Args:
        config: after inheritance.
        data_set: that its docstring prepares; "" if it names none.
        data_set: that its docstring prepares.
        sweeps: number of merged sweeps in its docstring.
        published: number of values marked as published, by source, inherited ones included.
    """

    name: str
    config: RunConfig
    data_set: str
    sweeps: int
    published: dict[str, int]

    @property
    def trains(self) -> str:
        """Class of the method or the task."""
        return _class_name(self.config.values[self.config.kind])

    @property
    def backbone(self) -> str:
        """Class of the backbone, with those of its branches."""
        value = self.config.values[self.config.kind]["backbone"]
        branches = [_class_name(value[name]) for name in ("lidar", "camera") if name in value]
        return " + ".join(branches) or _class_name(value)

    @property
    def key(self) -> str:
        """Everything that the cost of the backbone depends on."""
        value = self.config.values[self.config.kind]["backbone"]
        parts = [value, self.data_set, self.sweeps, self.image_size]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def gflops(self) -> str:
        """Of one forward pass, from the stored counts; "not counted" for a backbone that changed since."""
        return "not counted" if self.operations is None else f"{self.operations / 1e9:.1f}"

    @property
    def operations(self) -> float | None:
        """Floating-point operations of one forward pass, from the stored counts; None for a backbone that changed
        since."""
        return 1e9 * COSTS[self.key] if self.key in COSTS else None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the images of the views."""
        flat = self.config.flat()
        found = {key.rsplit(".", 1)[-1]: value for key, value in flat.items() if ".images." in key}
        return (found["width"], found["height"]) if found else None


def entries() -> list[Entry]:
    """All configs of the package.

    Raises:
        UserError: a config cannot be read.
    """
    root = config_folder()
    marks, _ = marks_of(root)
    return [_entry(name, path, root, marks) for name, path in recipes().items()]


def cost_of_entry(entry: Entry, overrides: Sequence[str] = ()) -> Cost:
    """Cost of the backbone on the synthetic frame, without running it.

    Args:
        entry: a line of the table.
        overrides: `key=value`, such as another folder of a pretrained image network.

    Raises:
        UserError: the backbone cannot be built, such as without its pretrained image network.
    """
    config = load_config(entry.config.path, overrides)
    indoors = entry.data_set == "scannet"
    points = reference_frame.room() if indoors else reference_frame.street(entry.sweeps)
    facts = facts_of_data_set("scannet" if indoors else "nuscenes", points.shape[1] - 3)
    backbone: Any = config.build(f"{config.kind}.backbone", facts)
    cameras = reference_frame.cameras(*entry.image_size) if entry.image_size else None
    batch = PointBatch.pack([points])

    def probe_network(network: Any) -> Any:
        if isinstance(network, BevEncoder):
            return network(batch, cameras)
        return network(cameras, batch) if network.uses_cameras else network(batch)

    return cost_of(backbone, probe_network)


def table(found: Sequence[Entry]) -> str:
    """The configs as lines of text."""
    head = ("name", "trains", "backbone", "data set", "GFLOPs", "published values from")
    rows = [head]
    for entry in found:
        sources = ", ".join(f"{source} {count}" for source, count in sorted(entry.published.items())) or "-"
        rows.append((entry.name, entry.trains, entry.backbone, entry.data_set, entry.gflops, sources))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"GFLOPs: {FRAME}"])


def _entry(name: str, path: Path, root: Path, marks: Sequence[Mark]) -> Entry:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""
    prepared = re.search(r"prepare (\w+)", docstring)
    indoors = "scannet" in name or "room" in name
    sweeps = re.search(r"--sweeps (\d+)", docstring)
    own = path.relative_to(root).as_posix()
    inherited = _inherited(path, root)
    counts: dict[str, int] = {}
    for mark in marks:
        if mark.file == own or mark.key.split(".")[0] in inherited.get(mark.file, ()):
            counts[mark.source] = counts.get(mark.source, 0) + 1
    return Entry(
        name=name,
        config=load_config(path),
        data_set=prepared[1] if prepared else "scannet" if indoors else "nuscenes",
        sweeps=int(sweeps[1]) if sweeps else 1,
        published=counts,
    )


def _inherited(path: Path, root: Path) -> dict[str, set[str]]:
    """Files below the folder `root` that the config `path` inherits from, and which of their names it uses."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level or node.module is None:
            continue
        base = path.parents[node.level - 1] / (node.module.replace(".", "/") + ".py")
        file = base.relative_to(root).as_posix()
        assigned = {
            statement.targets[0].id: {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}
            for statement in ast.parse(base.read_text()).body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
        wanted, names = [alias.name for alias in node.names], found.setdefault(file, set())
        while wanted:
            name = wanted.pop()
            if name in assigned and name not in names:
                names.add(name)
                wanted += assigned[name]
    return found


def _class_name(value: dict[str, Any]) -> str:
    return str(value["type"]).rsplit(".", 1)[-1]
