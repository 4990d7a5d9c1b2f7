"""Map elements rasterised to a BEV grid around the sensor, by the rule of nuScenes' published map labels.

BEVFusion (ICRA 2023) and CALICO (ICLR 2024) train on what the devkit's `NuScenesMap.get_map_mask` draws. Its rule:
elements are clipped to the grid and their corners rounded to whole cells, corners of polygons to the nearest, those of
lines towards zero. A polygon is filled together with its outline; its holes are then cleared, outline included, even
where earlier polygons of the class were drawn. Lines are drawn with a thickness of 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

LINE_THICKNESS = 2  # OpenCV's thickness; it draws lines along an axis three cells wide


@dataclass(frozen=True)
class MapElements:
    """One class of map elements near a frame, in metres in the global frame, in the map's order."""

    polygons: tuple[shapely.Polygon, ...] = ()
    lines: tuple[shapely.LineString, ...] = ()


@dataclass(frozen=True)
class MapGrid:
    """Square cells over a square around the sensor; row 0 is the lowest y, column 0 the lowest x.

    Args:
        reach: metres from the sensor to each side.
        cell_size: metres.
        rule: of rasterisation; caches without this field used another one (a cell belongs to the polygon that
            contains its centre).
    """

    reach: float
    cell_size: float
    rule: str = "filled with outline, lines of thickness 2"

    @property
    def cells(self) -> int:
        """Rows, and columns."""
        return round(2 * self.reach / self.cell_size)

    def rasterize(self, elements: MapElements, centre: tuple[float, float], yaw: float) -> NDArray[np.bool_]:
        """Draw elements, as `get_map_mask` of a patch around `centre`.

        Args:
            elements: in the global frame.
            centre: x, y of the grid's centre in the global frame, metres.
            yaw: from the global x axis to the grid's, radians.

        Returns:
            [rows, columns] bool.
        """
        mask = np.zeros((self.cells, self.cells), np.uint8)
        for polygon in self._cut(elements.polygons, centre, yaw):
            parts = [part for part in shapely.get_parts(polygon) if part.geom_type == "Polygon"]
            outer = [_nearest_cells(part.exterior) for part in parts]
            holes = [_nearest_cells(ring) for part in parts for ring in part.interiors]
            for rings, value in ((outer, 1), (holes, 0)):
                if rings:
                    cv2.fillPoly(mask, rings, value)
        for line in self._cut(elements.lines, centre, yaw):
            for part in shapely.get_parts(line):
                corners = np.asarray(part.coords, np.float64).astype(np.int32)
                cv2.polylines(mask, [corners], False, 1, LINE_THICKNESS)
        return mask.astype(np.bool_)

    def _cut(self, elements: Sequence[BaseGeometry], centre: tuple[float, float], yaw: float) -> list[BaseGeometry]:
        """The parts within the grid, in cells relative to its corner.

        The steps and their order are the devkit's, so that coordinates at the border are equal to the last digit.
        """
        x, y = centre
        degrees = np.degrees(yaw)
        patch = shapely.box(x - self.reach, y - self.reach, x + self.reach, y + self.reach)
        patch = affinity.rotate(patch, degrees, origin=centre)
        local_patch = shapely.box(-self.reach, -self.reach, self.reach, self.reach)
        scale = self.cells / (2 * self.reach)
        found = []
        for element in elements:
            part = element.intersection(patch)
            if part.is_empty:
                continue
            part = affinity.rotate(part, -degrees, origin=centre)
            part = affinity.translate(part, -x, -y).intersection(local_patch)
            if not part.is_empty:
                part = affinity.translate(part, self.reach, self.reach)
                found.append(affinity.scale(part, scale, scale, origin=(0, 0)))
        return found


def _nearest_cells(ring: shapely.LinearRing) -> NDArray[np.int32]:
    """[C, 2] corners of a ring, rounded."""
    return np.asarray(ring.coords, np.float64).round().astype(np.int32)
