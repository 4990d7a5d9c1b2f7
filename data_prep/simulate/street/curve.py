"""A road's centre line and strips parallel to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray


class Curve:
    """A smooth line in the plane, measured by its length s (metres) and the offset d to its left.

    Args:
        point: [N, 2] metres, about one metre apart.
    """

    def __init__(self, point: NDArray) -> None:
        self.point = np.asarray(point, np.float64)
        step = np.linalg.norm(np.diff(self.point, axis=0), axis=1)
        self.station = np.concatenate([[0.0], np.cumsum(step)])
        tangent = np.gradient(self.point, self.station, axis=0, edge_order=2)
        self.heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))

    @classmethod
    def integrate(
        cls, start: Sequence[float] | NDArray, heading: float, pieces: Sequence[tuple[float, float]]
    ) -> Curve:
        """From `start` [2] and `heading` (radians) along pieces of (length in metres, curvature in 1/metres).

        Curvature runs linearly over 10 m from one piece to the next, as on a built road.
        """
        length = sum(piece[0] for piece in pieces)
        count = max(round(length), 2) + 1
        station = np.linspace(0.0, length, count)
        edge = np.cumsum([0.0] + [piece[0] for piece in pieces])
        curvature = np.zeros(count)
        for (_, value), low, high in zip(pieces, edge[:-1], edge[1:], strict=True):
            inside = (station >= low) & (station <= high)
            curvature[inside] = value
        kernel = np.ones(11) / 11
        curvature = np.convolve(np.pad(curvature, 5, mode="edge"), kernel, mode="valid")
        step = station[1] - station[0]
        angle = heading + np.concatenate([[0.0], np.cumsum(0.5 * (curvature[1:] + curvature[:-1]) * step)])
        middle = 0.5 * (angle[1:] + angle[:-1])
        move = step * np.stack([np.cos(middle), np.sin(middle)], 1)
        return cls(np.concatenate([np.zeros((1, 2)), np.cumsum(move, 0)]) + np.asarray(start))

    @property
    def length(self) -> float:
        return float(self.station[-1])

    def at(self, s: NDArray | float, d: NDArray | float = 0.0) -> NDArray[np.float64]:
        """[..., 2] position at length `s` and offset `d`."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        x = np.interp(s, self.station, self.point[:, 0])
        y = np.interp(s, self.station, self.point[:, 1])
        angle = np.interp(s, self.station, self.heading)
        return np.stack([x - d * np.sin(angle), y + d * np.cos(angle)], -1)

    def heading_at(self, s: NDArray | float) -> NDArray[np.float64]:
        """Direction of growing s at length `s`, radians."""
        return np.interp(s, self.station, self.heading)

    def nearest(self, point: Sequence[float] | NDArray) -> float:
        """Length s of the curve's point that is nearest to `point` [2]."""
        return float(self.station[np.argmin(np.linalg.norm(self.point - np.asarray(point), axis=1))])

    def line(self, low: float, high: float, d: float, step: float = 2.0) -> NDArray[np.float64]:
        """[N, 2] points at offset `d` from s = `low` to `high` (which may be smaller: the line then runs backwards)."""
        count = max(int(np.ceil(abs(high - low) / step)), 1) + 1
        return self.at(np.linspace(low, high, count), d)

    def strip(self, low: float, high: float, right: float, left: float, step: float = 2.0) -> shapely.Polygon:
        """The area between s = `low` and `high`, and between the offsets `right` < `left`."""
        outline = np.concatenate([self.line(low, high, right, step), self.line(high, low, left, step)])
        polygon = shapely.Polygon(outline)
        return polygon if polygon.is_valid else shapely.make_valid(polygon).convex_hull

    def offset(self, d: float, *, backwards: bool = False, step: float = 1.0) -> Curve:
        """The parallel curve at offset `d`, optionally reversed."""
        point = self.line(0.0, self.length, d, step)
        return Curve(point[::-1] if backwards else point)
