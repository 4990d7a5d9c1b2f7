"""Car parks and yards: bays in rows along an aisle, with a driveway to the road."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.street.layout import Street
from data_prep.simulate.street.lots import Lot

BAY_DEPTH, BAY_WIDTH, AISLE = 5.1, 2.6, 6.2  # metres


@dataclass(frozen=True)
class CarPark:
    """A car park on a lot.

    Args:
        area: the bays and aisles.
        driveway: the strip across the sidewalk.
        lines: [K, 2, 2] lines between the bays.
        places: [P, 3] x, y and heading of a car in each bay.
    """

    area: shapely.Polygon
    driveway: shapely.Polygon
    lines: NDArray[np.float64]
    places: NDArray[np.float64]


def driveway(street: Street, lot: Lot, half: float = 3.0) -> shapely.Polygon:
    """A strip from the road to the front of a lot."""
    road = street.roads[lot.road]
    middle = 0.5 * (lot.low + lot.high)
    span = sorted((road.edge(lot.side) - 0.5 * lot.side, lot.near + 1.0 * lot.side))
    return road.curve.strip(middle - half, middle + half, span[0], span[1], 1.0)


def car_park(street: Street, lot: Lot) -> CarPark:
    """Rows of bays along the road: row, aisle, row, row, aisle, row ... as deep as the lot."""
    curve = street.roads[lot.road].curve
    lines, places = [], []
    depth, row = 0.8, 0
    reach = lot.depth - 0.8
    entry = (0.5 * (lot.low + lot.high) - 3.2, 0.5 * (lot.low + lot.high) + 3.2)
    while depth + BAY_DEPTH <= reach:
        facing = lot.side if row % 2 == 0 else -lot.side  # towards the aisle
        near, far = lot.near + lot.side * depth, lot.near + lot.side * (depth + BAY_DEPTH)
        for s in np.arange(lot.low + 1.2, lot.high - 1.2 - BAY_WIDTH, BAY_WIDTH):
            if row == 0 and s < entry[1] and s + BAY_WIDTH > entry[0]:
                continue
            lines += [curve.at(s, np.array([near, far])), curve.at(s + BAY_WIDTH, np.array([near, far]))]
            middle = curve.at(s + 0.5 * BAY_WIDTH, 0.5 * (near + far))
            heading = float(curve.heading_at(s + 0.5 * BAY_WIDTH)) + 0.5 * np.pi * facing
            places.append([*middle, heading])
        depth += BAY_DEPTH + (AISLE if row % 2 == 0 else 0.0)
        row += 1
    return CarPark(
        lot.area, driveway(street, lot), np.array(lines).reshape(-1, 2, 2), np.array(places, float).reshape(-1, 3)
    )
