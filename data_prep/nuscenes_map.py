"""nuScenes' map expansion: map elements of a location, and those near a frame.

    elements = LocationMap.read(root / "maps" / "expansion" / "boston-seaport.json")
    mask = GRID.rasterize(elements.near((x, y), 50.0)["walkway"], (x, y), yaw)

The JSON is read directly: the elements near a frame are small enough to send to a worker, which does not need the map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.bev_map import MapElements, MapGrid
from pc_ssl.errors import UserError
from pc_ssl.files import read_json

# The classes of BEVFusion's and CALICO's map segmentation, and the map layers of each class.
MAP_LAYERS: dict[str, tuple[str, ...]] = {
    "drivable_area": ("drivable_area",),
    "ped_crossing": ("ped_crossing",),
    "walkway": ("walkway",),
    "stop_line": ("stop_line",),
    "carpark_area": ("carpark_area",),
    "divider": ("road_divider", "lane_divider"),
}
LINE_LAYERS = ("road_divider", "lane_divider")
MENDED_LAYER = "drivable_area"  # the devkit drops self-intersecting polygons of all other layers
FARTHEST = 1e7  # metres; larger coordinates indicate damage
GRID = MapGrid(reach=50.0, cell_size=0.5)  # BEVFusion's
Record = Mapping[str, Any]


@dataclass(frozen=True)
class ClassShapes:
    """All map elements of one class in the global frame.

    Args:
        polygons: [P] shapely polygons, in the file's order.
        lines: [L] shapely lines.
    """

    polygons: NDArray[np.object_]
    lines: NDArray[np.object_]

    def near(self, centre: tuple[float, float], radius: float) -> MapElements:
        """Elements whose bounds intersect a square of `2 * radius` metres around `centre`."""
        return MapElements(tuple(_close(self.polygons, centre, radius)), tuple(_close(self.lines, centre, radius)))


def _close(shapes: NDArray[np.object_], centre: tuple[float, float], radius: float) -> NDArray[np.object_]:
    low, high = np.array(centre) - radius, np.array(centre) + radius
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    return shapes[((bounds[:, :2] <= high) & (bounds[:, 2:] >= low)).all(axis=1)]


@dataclass(frozen=True)
class LocationMap:
    """The map of one location, by class."""

    shapes: Mapping[str, ClassShapes]

    @staticmethod
    def read(path: Path) -> LocationMap:
        """Read one file of maps/expansion.

        Raises:
            UserError: it is missing or not a map expansion; a field is missing, or a token is unknown.
        """
        content = read_json(path)
        layer = "the file"
        try:
            nodes = {node["token"]: _position(node) for node in content["node"]}
            polygons = {record["token"]: record for record in content["polygon"]}
            lines = {line["token"]: line["node_tokens"] for line in content["line"]}
            shapes = {}
            for name, layers in MAP_LAYERS.items():
                areas, paths = [], []
                for layer in layers:
                    for record in content[layer]:
                        if layer in LINE_LAYERS:
                            paths.append([nodes[token] for token in lines[record["line_token"]]])
                        else:
                            found = [_polygon(polygons[token], nodes) for token in _polygon_tokens(record)]
                            areas += [_valid(area, layer) for area in found]
                shapes[name] = _class_shapes(areas, paths)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: invalid layer {layer} of a map expansion ({type(error).__name__}: {error})"
            ) from None
        return LocationMap(shapes)

    def near(self, centre: tuple[float, float], reach: float) -> dict[str, MapElements]:
        """Elements that may intersect a square of `2 * reach` metres around `centre`, at any rotation."""
        return {name: shapes.near(centre, reach * math.sqrt(2)) for name, shapes in self.shapes.items()}


def _position(node: Record) -> tuple[float, float]:
    x, y = float(node["x"]), float(node["y"])
    if not max(abs(x), abs(y)) <= FARTHEST:
        raise ValueError(f"node {node['token']!r} is at {x:g}, {y:g}")
    return x, y


def _polygon_tokens(record: Record) -> list[str]:
    return record["polygon_tokens"] if "polygon_tokens" in record else [record["polygon_token"]]


def _polygon(record: Record, nodes: Mapping[str, tuple[float, float]]) -> shapely.Polygon | None:
    """None if the outline has too few corners."""
    outer = [nodes[token] for token in record["exterior_node_tokens"]]
    holes = [[nodes[token] for token in hole["node_tokens"]] for hole in record["holes"]]
    return shapely.Polygon(outer, [hole for hole in holes if len(hole) > 2]) if len(outer) > 2 else None


def _valid(polygon: shapely.Polygon | None, layer: str) -> shapely.Polygon | None:
    if polygon is None or polygon.is_valid:
        return polygon
    return shapely.make_valid(polygon) if layer == MENDED_LAYER else None


def _class_shapes(
    areas: Sequence[shapely.Polygon | None], paths: Sequence[Sequence[tuple[float, float]]]
) -> ClassShapes:
    lines = [shapely.LineString(path) for path in paths if len(path) > 1]
    found = [[area for area in areas if area is not None], lines]
    polygons, tracks = (np.array([*shapes, None], np.object_)[:-1] for shapes in found)
    return ClassShapes(polygons, tracks)
