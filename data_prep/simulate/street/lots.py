"""The plots of land along the roads and their use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.layout import Road, Street, free_stations

KINDS = ("offices", "apartments", "shops", "houses", "park", "car_park", "construction", "depot", "meadow")
FRONTAGE = {  # metres along the road, shortest and longest
    "offices": (22.0, 45.0),
    "apartments": (20.0, 40.0),
    "shops": (16.0, 36.0),
    "houses": (12.0, 18.0),
    "park": (25.0, 50.0),
    "car_park": (26.0, 46.0),
    "construction": (24.0, 40.0),
    "depot": (30.0, 50.0),
    "meadow": (20.0, 50.0),
}
SHORTEST = 10.0  # metres of frontage
DISTRICTS = {  # sampling weight of each kind of lot, in the order of KINDS
    "centre": (6, 3, 5, 0, 1.2, 1.5, 1.5, 0.2, 0.2),
    "residential": (0.5, 4, 1.5, 6, 1.5, 1, 1.2, 0.2, 0.6),
    "industrial": (3, 0.5, 1, 0, 0.7, 2.5, 2, 4, 1),
    "park_side": (2, 2.5, 1, 2, 5, 1.5, 1.2, 0.3, 1),
}


WITH_RARE_OBJECTS = ("construction", "depot")


@dataclass(frozen=True)
class Lot:
    """A four-sided plot in the coordinates of a road.

    Args:
        kind: one of KINDS.
        road: index of the road that it borders.
        low, high: stations of its ends on the road's curve.
        near, far: offsets of its front (at the sidewalk) and of its back; positive at the left, negative at the right.
        area: the plot.
    """

    kind: str
    road: int
    low: float
    high: float
    near: float
    far: float
    area: shapely.Polygon

    @property
    def side(self) -> int:
        return 1 if self.near > 0 else -1

    @property
    def depth(self) -> float:
        return abs(self.far - self.near)

    @property
    def length(self) -> float:
        return self.high - self.low


def divide_into_lots(rng: np.random.Generator, street: Street, content: StreetContent) -> list[Lot]:
    """Fill both sides of every road with lots that do not overlap each other or any road."""
    district = str(rng.choice(list(DISTRICTS)))
    weight = content.shares(DISTRICTS[district], [kind in WITH_RARE_OBJECTS for kind in KINDS])
    taken = shapely.union_all(
        [road.curve.strip(0, road.curve.length, road.back(-1), road.back(1)) for road in street.roads]
    )
    taken = [taken.buffer(3.0).buffer(-2.8)]  # lots stay clear of the corners
    shapely.prepare(taken[0])
    lots: list[Lot] = []
    for index, road in enumerate(street.roads):
        for side in (1, -1):
            near, depth = road.back(side) + 0.4 * side, rng.uniform(26.0, 40.0)
            for low, high in free_stations(street, index, margin=2.0):
                here = low
                while here < high - SHORTEST:
                    kind = str(rng.choice(KINDS, p=weight))
                    end = min(here + rng.uniform(*FRONTAGE[kind]), high)
                    if high - end < SHORTEST:
                        end = high
                    lot = _largest_free(taken, road, index, kind, here, end, near, side * depth)
                    if lot is None:
                        here += 2.0
                        continue
                    lots.append(lot)
                    taken.append(lot.area.buffer(0.2))
                    here = lot.high + rng.choice([0.5, 1.0, 3.0, 8.0], p=[0.4, 0.3, 0.2, 0.1])
    return [lot for lot in lots if lot.area.within(street.extent)]


def _largest_free(
    taken: list[shapely.Geometry], road: Road, index: int, kind: str, low: float, high: float, near: float, depth: float
) -> Lot | None:
    """The lot at its full size, less deep, or shorter; None where all of them overlap any of `taken`."""
    for end in (high, low + 0.6 * (high - low)):
        for far in (near + depth, near + 0.65 * depth):
            area = road.curve.strip(low, end, min(near, far), max(near, far), 3.0)
            if end - low >= SHORTEST and area.is_valid and not shapely.intersects(taken, area).any():
                return Lot(kind, index, low, end, near, far, area)
    return None
