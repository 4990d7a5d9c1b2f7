"""Regions by a distance threshold proportional to range, like the gaps between the beams of a spinning LiDAR.

Our method, not published. A sensor with a fixed angle between its beams leaves gaps proportional to range, so a fixed
radius either splits far objects or merges near ones. Here two points are neighbours if they are at most
`azimuth_steps` shots apart horizontally and at most `beams` beams apart vertically (combined as an ellipse), at the
range of the nearer one. Both angular steps are estimated from the cloud (`angular_steps`), so that no parameter depends
on the sensor:

    d(p, q)^2 = (horizontal distance / (azimuth_steps * azimuth_step * range))^2
              + (vertical distance / (beams * beam_step * range))^2,  range = max(min_range, min(|p|, |q|) in the plane)

1. Points with d <= 1 are connected. The gaps on a surface are azimuth_step * range / cos(incidence): three steps
   connect surfaces seen at up to 70 degrees (the side of a car ahead), a quarter more than one beam connects the next
   beam on slanted surfaces, and neither bridges a missing beam or a gap of three shots.
2. A fragment of fewer than `fragment_points` (the roof of a car, one beam on a bumper) is merged into its neighbour
   along the shortest link with d <= `fragment_reach`, shortest links first. Twice the reach bridges one beam without
   returns (from a window), not two. Two components with at least `fragment_points` are never merged, however near:
   people next to a barrier, a cyclist next to a car.

This is single linkage with a simplified merging rule of Felzenszwalb and Huttenlocher (IJCV 2004): small components
have a larger threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.distinct import distinct
from data_prep.regions.range_cells import cells_of, first_at, join_neighbours, window
from data_prep.regions.union_find import join, number_sets, root_of

BAND = 0.1  # degrees; less than the gap between beams of sensors with up to 128 beams
LEAST_AZIMUTH_GAP, LEAST_BEAM_GAP = 0.02, 0.05  # degrees; smaller gaps are noise, or two returns of one shot


@dataclass(frozen=True)
class RangeAdaptiveRegions:
    """Clusters the points that are not ground; `ground` is an input.

    Args:
        azimuth_steps: largest distance of neighbours in shots.
        beams: largest distance of neighbours in beams.
        min_range: metres; nearer points are linked as at this range, as near objects have real gaps (between legs,
            spokes) and noise of centimetres.
        fragment_points: a component with fewer points is a fragment.
        fragment_reach: search distance of a fragment for its neighbour, as a multiple of the reach.
        min_points: smaller components are dropped.
    """

    over_sweeps: ClassVar[bool] = False
    azimuth_steps: float = 3.0
    beams: float = 1.25
    min_range: float = 10.0
    fragment_points: int = 10
    fragment_reach: float = 2.0
    min_points: int = 5

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Regions [N] of one cloud, see `RegionGenerator`."""
        region = np.full(len(xyz), -1, np.int32)
        steps = angular_steps(xyz)
        if steps is None:
            return region
        above = np.flatnonzero(~ground)
        region[above] = cluster_by_range(
            xyz[above],
            azimuth_reach=self.azimuth_steps * steps[0],
            height_reach=self.beams * steps[1],
            min_range=self.min_range,
            fragment_points=self.fragment_points,
            fragment_reach=self.fragment_reach,
            min_points=self.min_points,
        )
        return region


def angular_steps(xyz: NDArray[np.floating]) -> tuple[float, float] | None:
    """Estimate the angles between two shots of one beam and between two beams.

    A narrow band of elevation contains one beam, whose consecutive points are one azimuth step apart unless shots are
    missing; a column of azimuth, one step wide, contains one shot of each beam. The medians of these gaps are the
    steps.

    Args:
        xyz: [N, 3], one sweep with its ground, sensor at the origin, z up.

    Returns:
        Radians of azimuth and of elevation; None if either gap cannot be measured.
    """
    elevation = np.degrees(np.arctan2(xyz[:, 2].astype(np.float64), np.hypot(xyz[:, 0], xyz[:, 1])))
    azimuth = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]).astype(np.float64))
    azimuth_step = _usual_gap(azimuth, np.round(elevation / BAND), LEAST_AZIMUTH_GAP)
    if azimuth_step is None:
        return None
    beam_step = _usual_gap(elevation, np.round(azimuth / azimuth_step), LEAST_BEAM_GAP)
    return None if beam_step is None else (math.radians(azimuth_step), math.radians(beam_step))


def _usual_gap(value: NDArray[np.float64], group: NDArray[np.float64], least: float) -> float | None:
    """Median of the gaps of at least `least` between consecutive values [N] (degrees) of one group [N]."""
    gap = np.diff(np.sort(1000 * group + value))  # 1000 exceeds any difference of angles
    gap = gap[(gap >= least) & (gap <= 360)]
    return float(np.median(gap)) if len(gap) else None


def cluster_by_range(
    xyz: NDArray[np.floating],
    *,
    azimuth_reach: float,
    height_reach: float,
    min_range: float,
    fragment_points: int,
    fragment_reach: float,
    min_points: int,
) -> NDArray[np.int32]:
    """Cluster points [N, 3] (metres, sensor at the origin, z up, finite), see the module's docstring.

    Args:
        azimuth_reach, height_reach: of two neighbours, as multiples of the range (radians).
        min_range, fragment_points, fragment_reach, min_points: as in `RangeAdaptiveRegions`.

    Returns:
        [N] int32: cluster 0..K - 1 by their first points, -1 for clusters of fewer than `min_points`.

    Raises:
        ValueError: the shape is wrong, a reach or `min_range` is not positive, or `fragment_reach` is below 1.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise ValueError(f"cluster_by_range: points must be [N, 3], got {xyz.shape}")
    if not (azimuth_reach > 0 and height_reach > 0 and min_range > 0 and fragment_reach >= 1):
        raise ValueError("cluster_by_range: the reaches and min_range must be positive, fragment_reach 1 or more")
    places = distinct(xyz)  # coincident points are always neighbours: the search needs one of them
    points = xyz[places.first].astype(np.float64)
    distance = np.hypot(points[:, 0], points[:, 1])
    farthest = 2 * math.asin(min(1.0, fragment_reach * azimuth_reach / 2))  # angle between neighbours beyond min_range
    columns = max(1, int(2 * math.pi / (farthest * (1 + 1e-9))))
    azimuth = (np.arctan2(points[:, 1], points[:, 0]) / (2 * math.pi) + 0.5) * columns
    column = np.minimum(azimuth.astype(np.int64), columns - 1)
    parent, size = np.arange(len(points)), places.points.copy()
    cells = cells_of(points, distance, azimuth, columns, (azimuth_reach, height_reach), min_range)
    join_neighbours(points, distance, cells, azimuth_reach, height_reach, min_range, parent, size)
    fragment = _of_fragments(parent, size, fragment_points)
    first, second = _fragment_links(
        points, distance, column, columns, min_range, fragment, fragment_reach * azimuth_reach,
        fragment_reach * height_reach,
    )  # fmt: skip
    _join_fragments(first, second, parent, size, fragment_points)
    return number_sets(parent, size, min_points)[places.of_point]


class Polar(NamedTuple):
    """Some of the points, sorted by columns of azimuth and, within a column, by distance in the plan view.

    row [M] int64 of the points; xyz [M, 3], distance [M] float64; start [C + 1] int64: where each column begins;
    min_range: metres.
    """

    row: NDArray[np.int64]
    xyz: NDArray[np.float64]
    distance: NDArray[np.float64]
    start: NDArray[np.int64]
    min_range: float


def _fragment_links(
    points: NDArray[np.float64],
    distance: NDArray[np.float64],
    column: NDArray[np.int64],
    columns: int,
    min_range: float,
    fragment: NDArray[np.bool_],
    azimuth_reach: float,
    height_reach: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The links with at least one end in a fragment (fragment [N] bool), as rows [L] of both ends, shortest first."""
    some, others = (
        _sorted(points, distance, column, np.flatnonzero(of), columns, min_range) for of in (fragment, ~fragment)
    )
    found = [
        _links(a, b, azimuth_reach, height_reach, a is b) for a, b in ((some, some), (some, others), (others, some))
    ]
    first, second, squared = (np.concatenate(parts) for parts in zip(*found, strict=True))
    shortest = np.lexsort((second, first, squared))
    return first[shortest], second[shortest]


def _sorted(
    points: NDArray[np.float64],
    distance: NDArray[np.float64],
    column: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: int,
    min_range: float,
) -> Polar:
    """The `rows` of the points, sorted."""
    rows = rows[np.lexsort((distance[rows], column[rows]))]
    start = np.searchsorted(column[rows], np.arange(columns + 1))
    return Polar(rows, points[rows], distance[rows], start, min_range)


@njit(cache=True, nogil=True)
def _links(cloud, others, azimuth_reach, height_reach, same):
    """Links from points of `cloud` to `others` at their distance or beyond: rows [L] of both ends, d^2 [L].

    `same`: both are the same points. A link between points at exactly the same distance may be listed twice.
    """
    first, second = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    squared = [0.0 for _ in range(0)]
    columns = len(others.start) - 1
    for own in range(columns):
        for i in range(cloud.start[own], cloud.start[own + 1]):
            scale = max(cloud.min_range, cloud.distance[i])
            reach, height = azimuth_reach * scale, height_reach * scale
            begin, end = window(own, columns, cloud.distance[i], reach)
            for c in range(begin, end):
                at = c % columns
                last = others.start[at + 1]
                j = first_at(others.distance, others.start[at], last, cloud.distance[i])
                if same and at == own:
                    j = i + 1
                while j < last and others.distance[j] <= cloud.distance[i] + reach:
                    x, y = cloud.xyz[i, 0] - others.xyz[j, 0], cloud.xyz[i, 1] - others.xyz[j, 1]
                    z = cloud.xyz[i, 2] - others.xyz[j, 2]
                    d2 = (x * x + y * y) / (reach * reach) + z * z / (height * height)
                    if d2 <= 1:
                        a, b = cloud.row[i], others.row[j]
                        first.append(min(a, b))
                        second.append(max(a, b))
                        squared.append(d2)
                    j += 1
    return np.array(first), np.array(second), np.array(squared)


@njit(cache=True, nogil=True)
def _of_fragments(parent, size, fragment_points):
    """[N] bool: the points in sets of fewer than `fragment_points`."""
    fragment = np.empty(len(parent), np.bool_)
    for i in range(len(parent)):
        fragment[i] = size[root_of(parent, i)] < fragment_points
    return fragment


@njit(cache=True, nogil=True)
def _join_fragments(first, second, parent, size, fragment_points):
    """Process the links, shortest first, and join their components if one is still a fragment."""
    for i in range(len(first)):
        a, b = first[i], second[i]
        root_a, root_b = root_of(parent, a), root_of(parent, b)
        if root_a != root_b and min(size[root_a], size[root_b]) < fragment_points:
            join(parent, size, root_a, root_b)
