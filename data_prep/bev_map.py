"""Map elements seen from above, as a grid of cells around the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True)
class MapElements:
    """One class of map elements near a frame.

    Args:
        edges: [E, 4] float64 x0 y0 x1 y1 of all polygons' edges, polygon by polygon, rings and holes alike.
        first_edge: [P + 1] int64: where each polygon begins in `edges`.
        lines: [L, 4] float64 x0 y0 x1 y1 of pieces of lines. All in metres, in the frame of the grid.
    """

    edges: NDArray[np.float64]
    first_edge: NDArray[np.int64]
    lines: NDArray[np.float64]


@dataclass(frozen=True)
class MapGrid:
    """Square cells over a square around the sensor; row 0 is the lowest y, column 0 the lowest x.

    Args:
        reach: metres from the sensor to each side.
        cell_size: metres.
        line_reach: metres from a line up to which cells belong to it.
    """

    reach: float
    cell_size: float
    line_reach: float

    @property
    def cells(self) -> int:
        """Rows, and columns."""
        return round(2 * self.reach / self.cell_size)

    def rasterize(self, elements: MapElements) -> NDArray[np.bool_]:
        """[rows, columns] bool: the cell's centre lies in a polygon (not in its holes), or near a line."""
        mask = np.zeros((self.cells, self.cells), np.bool_)
        _fill((elements.edges + self.reach) / self.cell_size, elements.first_edge, mask)
        _draw((elements.lines + self.reach) / self.cell_size, self.line_reach / self.cell_size, mask)
        return mask


@njit(cache=True, nogil=True)
def _fill(edges: NDArray, first_edge: NDArray, mask: NDArray) -> None:
    """Set the cells of each polygon by the even-odd rule along each row; edges in cells."""
    rows, columns = mask.shape
    crossings = np.empty(len(edges))
    for polygon in range(len(first_edge) - 1):
        begin, end = first_edge[polygon], first_edge[polygon + 1]
        low, high = np.inf, -np.inf
        for e in range(begin, end):
            low = min(low, edges[e, 1], edges[e, 3])
            high = max(high, edges[e, 1], edges[e, 3])
        for row in range(max(int(np.ceil(low - 0.5)), 0), min(int(np.floor(high - 0.5)), rows - 1) + 1):
            y = row + 0.5
            count = 0
            for e in range(begin, end):
                x0, y0, x1, y1 = edges[e]
                if (y0 <= y) != (y1 <= y):
                    crossings[count] = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                    count += 1
            along = np.sort(crossings[:count])
            for k in range(0, count - 1, 2):
                first = max(int(np.ceil(min(along[k], columns) - 0.5)), 0)
                last = min(int(np.floor(max(along[k + 1], 0.0) - 0.5)), columns - 1)
                mask[row, first : last + 1] = True


@njit(cache=True, nogil=True)
def _draw(lines: NDArray, reach: float, mask: NDArray) -> None:
    """Set the cells whose centre is at most `reach` from a piece of a line; both in cells."""
    rows, columns = mask.shape
    for k in range(len(lines)):
        x0, y0, x1, y1 = lines[k]
        left = max(int(np.floor(max(min(x0, x1) - reach, 0.0))), 0)
        right = int(np.ceil(min(max(x0, x1) + reach, float(columns))))
        bottom = max(int(np.floor(max(min(y0, y1) - reach, 0.0))), 0)
        top = int(np.ceil(min(max(y0, y1) + reach, float(rows))))
        dx, dy = x1 - x0, y1 - y0
        length2 = dx * dx + dy * dy
        for row in range(bottom, top):
            for column in range(left, right):
                x, y = column + 0.5 - x0, row + 0.5 - y0
                part = min(max((x * dx + y * dy) / length2, 0.0), 1.0) if length2 > 0 else 0.0
                if (x - part * dx) ** 2 + (y - part * dy) ** 2 <= reach * reach:
                    mask[row, column] = True
