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
    azimuth = np.arctan2(points[:, 1], points[:, 0]) / (2 * math.pi) + 0.5
    column = np.minimum((azimuth * columns).astype(np.int64), columns - 1)
    order = np.lexsort((distance, column))
    cloud = Polar(points[order], distance[order], np.searchsorted(column[order], np.arange(columns + 1)), min_range)
    parent, size = np.arange(len(points)), places.points.copy()
    _join_neighbours(cloud, azimuth_reach, height_reach, order, parent, size)
    fragment = _of_fragments(order, parent, size, fragment_points)
    first, second, squared = _fragment_links(
        cloud, fragment_reach * azimuth_reach, fragment_reach * height_reach, fragment
    )
    shortest = np.argsort(squared, kind="stable")
    _join_fragments(order[first[shortest]], order[second[shortest]], parent, size, fragment_points)
    return number_sets(parent, size, min_points)[places.of_point]


class Polar(NamedTuple):
    """Points sorted by columns of azimuth and, within a column, by distance in the plan view.

    xyz [N, 3] float64; distance [N] float64; start [C + 1] int64: where each column begins; min_range: metres.
    """

    xyz: NDArray[np.float64]
    distance: NDArray[np.float64]
    start: NDArray[np.int64]
    min_range: float


@njit(cache=True, nogil=True)
def _farther_neighbours(cloud, i, azimuth_reach, height_reach, found, squared):
    """Write the neighbours of point i at its distance or beyond to `found` [N], and d^2 to `squared` [N].

    Returns:
        Their number. Of two points in one column at the same distance only the first lists the second.
    """
    xyz, distance, start = cloud.xyz, cloud.distance, cloud.start
    columns = len(start) - 1
    scale = max(cloud.min_range, distance[i])
    reach, height = azimuth_reach * scale, height_reach * scale
    own = np.searchsorted(start, i, side="right") - 1
    sine = reach / (2 * distance[i]) if distance[i] > 0 else 1.0
    aside = 1 + int(2 * math.asin(min(1.0, sine)) * columns / (2 * math.pi))  # columns to either side
    if 2 * aside + 1 > columns:
        begin, end = own, own + columns
    else:
        begin, end = own - aside, own + aside + 1
    count = 0
    for c in range(begin, end):
        column = c % columns
        j = i + 1 if column == own else _first_at(distance, start[column], start[column + 1], distance[i])
        while j < start[column + 1] and distance[j] <= distance[i] + reach:
            x, y, z = xyz[i, 0] - xyz[j, 0], xyz[i, 1] - xyz[j, 1], xyz[i, 2] - xyz[j, 2]
            d2 = (x * x + y * y) / (reach * reach) + z * z / (height * height)
            if d2 <= 1:
                found[count], squared[count] = j, d2
                count += 1
            j += 1
    return count


@njit(cache=True, nogil=True)
def _first_at(distance, begin, end, least):
    """The first of the rows begin..end - 1, ascending, with distance >= least; `end` if there is none."""
    while begin < end:
        middle = (begin + end) // 2
        if distance[middle] < least:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def _join_neighbours(cloud, azimuth_reach, height_reach, order, parent, size):
    """Join all neighbours; order [N]: the row of `parent` and `size` of each point of the cloud."""
    n = len(order)
    found, squared = np.empty(n, np.int64), np.empty(n)
    for i in range(n):
        for k in range(_farther_neighbours(cloud, i, azimuth_reach, height_reach, found, squared)):
            a, b = root_of(parent, order[i]), root_of(parent, order[found[k]])
            if a != b:
                join(parent, size, a, b)


@njit(cache=True, nogil=True)
def _of_fragments(order, parent, size, fragment_points):
    """[N] bool: the points of the cloud in sets of fewer than `fragment_points`."""
    fragment = np.empty(len(order), np.bool_)
    for i in range(len(order)):
        fragment[i] = size[root_of(parent, order[i])] < fragment_points
    return fragment


@njit(cache=True, nogil=True)
def _fragment_links(cloud, azimuth_reach, height_reach, fragment):
    """The links with at least one end in a fragment: first, second [L] rows of the cloud, squared [L]."""
    n = len(fragment)
    found, squared = np.empty(n, np.int64), np.empty(n)
    first, second = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    length = [0.0 for _ in range(0)]
    for i in range(n):
        for k in range(_farther_neighbours(cloud, i, azimuth_reach, height_reach, found, squared)):
            if fragment[i] or fragment[found[k]]:
                first.append(np.int64(i))
                second.append(found[k])
                length.append(squared[k])
    return np.array(first), np.array(second), np.array(length)


@njit(cache=True, nogil=True)
def _join_fragments(first, second, parent, size, fragment_points):
    """Process the links, shortest first, and join their components if one is still a fragment."""
    for i in range(len(first)):
        a, b = first[i], second[i]
        root_a, root_b = root_of(parent, a), root_of(parent, b)
        if root_a != root_b and min(size[root_a], size[root_b]) < fragment_points:
            join(parent, size, root_a, root_b)
