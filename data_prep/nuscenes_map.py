"""nuScenes' map expansion: the elements of a location, and those around a frame.

    elements = LocationMap.read(root / "maps" / "expansion" / "boston-seaport.json")
    mask = GRID.rasterize(elements.near(global_from_lidar, 70.0)["walkway"])

The JSON is read directly: what is near a frame is small enough to travel to a worker, which draws it without the map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.bev_map import MapElements, MapGrid
from pc_ssl.errors import UserError
from pc_ssl.files import read_json
from pc_ssl.geometry import yaw_of

# The classes of BEVFusion's and CALICO's map segmentation, and the layers of the expansion that each is made of.
MAP_LAYERS: dict[str, tuple[str, ...]] = {
    "drivable_area": ("drivable_area",),
    "ped_crossing": ("ped_crossing",),
    "walkway": ("walkway",),
    "stop_line": ("stop_line",),
    "carpark_area": ("carpark_area",),
    "divider": ("road_divider", "lane_divider"),
}
LINE_LAYERS = ("road_divider", "lane_divider")
# BEVFusion's grid; its lines are 2 pixels wide, as the devkit draws them.
GRID = MapGrid(reach=50.0, cell_size=0.5, line_reach=0.5)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class ClassShapes:
    """All elements of one class in the location's frame, which is the global frame.

    Args:
        polygons: edges [E, 4] float64 x0 y0 x1 y1 of each polygon, holes included.
        bounds: [P, 4] float64 lowest x and y, highest x and y of each polygon.
        lines: [L, 4] float64.
    """

    polygons: tuple[NDArray[np.float64], ...]
    bounds: NDArray[np.float64]
    lines: NDArray[np.float64]


@dataclass(frozen=True)
class LocationMap:
    """The map of one location, by class."""

    shapes: Mapping[str, ClassShapes]

    @staticmethod
    def read(path: Path) -> LocationMap:
        """Read one file of maps/expansion.

        Raises:
            UserError: it is missing or no map expansion; a field is missing, or refers to what is not there.
        """
        content = read_json(path)
        layer = "the file"
        try:
            nodes = {node["token"]: (float(node["x"]), float(node["y"])) for node in content["node"]}
            rings = {polygon["token"]: list(_rings(polygon)) for polygon in content["polygon"]}
            lines = {line["token"]: line["node_tokens"] for line in content["line"]}
            shapes = {}
            for name, layers in MAP_LAYERS.items():
                polygons, pieces = [], []
                for layer in layers:
                    for record in content[layer]:
                        if layer in LINE_LAYERS:
                            pieces += _pairs([nodes[token] for token in lines[record["line_token"]]])
                        else:
                            polygons += [_edges(rings[token], nodes) for token in _polygon_tokens(record)]
                shapes[name] = _class_shapes(polygons, pieces)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: {layer} is not as in a map expansion ({type(error).__name__}: {error})") from None
        return LocationMap(shapes)

    def near(self, global_from_lidar: NDArray[np.float64], reach: float) -> dict[str, MapElements]:
        """The elements with a part within `reach` metres, in the LiDAR frame seen from above (by its yaw alone).

        Edges above or below the square of that size are left out: no row of cells crosses them.
        """
        x, y, yaw = *global_from_lidar[:2, 3], yaw_of(global_from_lidar)
        radius = reach * np.sqrt(2)
        return {name: _near(shapes, (x, y), yaw, reach, radius) for name, shapes in self.shapes.items()}


def _polygon_tokens(record: Record) -> list[str]:
    return record["polygon_tokens"] if "polygon_tokens" in record else [record["polygon_token"]]


def _rings(polygon: Record) -> Iterable[list[str]]:
    yield polygon["exterior_node_tokens"]
    for hole in polygon["holes"]:
        yield hole["node_tokens"]


def _edges(rings: Iterable[list[str]], nodes: Mapping[str, tuple[float, float]]) -> NDArray[np.float64]:
    """[E, 4] of closed rings."""
    closed = ([nodes[token] for token in (*ring, ring[0])] for ring in rings if ring)
    return np.array(list(chain.from_iterable(map(_pairs, closed))), np.float64).reshape(-1, 4)


def _pairs(points: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    return [(*a, *b) for a, b in pairwise(points)]


def _class_shapes(polygons: list[NDArray[np.float64]], pieces: list[tuple[float, float, float, float]]) -> ClassShapes:
    kept = tuple(edges for edges in polygons if len(edges))
    bounds = [(*edges[:, :2].min(axis=0), *edges[:, :2].max(axis=0)) for edges in kept]
    return ClassShapes(kept, np.array(bounds, np.float64).reshape(-1, 4), np.array(pieces, np.float64).reshape(-1, 4))


def _near(shapes: ClassShapes, centre: tuple[float, float], yaw: float, reach: float, radius: float) -> MapElements:
    low, high = np.array(centre) - radius, np.array(centre) + radius
    close = ((shapes.bounds[:, :2] <= high) & (shapes.bounds[:, 2:] >= low)).all(axis=1)
    chosen = [_turned(shapes.polygons[row], centre, yaw) for row in np.flatnonzero(close)]
    chosen = [edges[_crosses(edges, reach)] for edges in chosen]
    near_line = _spans(shapes.lines, low, high)
    lines = _turned(shapes.lines[near_line], centre, yaw)
    return MapElements(
        edges=np.concatenate(chosen) if chosen else np.empty((0, 4)),
        first_edge=np.cumsum([0, *map(len, chosen)], dtype=np.int64),
        lines=lines,
    )


def _turned(pieces: NDArray[np.float64], centre: tuple[float, float], yaw: float) -> NDArray[np.float64]:
    """Pieces [N, 4] of the global frame in a frame at `centre`, turned by `yaw`."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return ((pieces.reshape(-1, 2) - np.array(centre)) @ turn).reshape(-1, 4)


def _crosses(edges: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    y0, y1 = edges[:, 1], edges[:, 3]
    return (np.maximum(y0, y1) >= -reach) & (np.minimum(y0, y1) <= reach)


def _spans(lines: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    ends = lines.reshape(-1, 2, 2)
    return ((ends.min(axis=1) <= high) & (ends.max(axis=1) >= low)).all(axis=1)
