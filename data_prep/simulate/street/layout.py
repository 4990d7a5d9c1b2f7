"""Roads, lanes, junctions and crossings of one scene.

Scene frame: metres, x and y level, z up, the middle of the ego vehicle's trip near the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.street.content import StreetContent
from data_prep.simulate.street.curve import Curve

CORNER_RADIUS = 5.0  # metres; kerb radius at junctions
EGO_CLEARANCE = 38.0  # metres; junctions this near to the start of the trip are green for the ego vehicle
STOP_GAP = 1.2  # metres between a stop line and the crossing or junction behind it


@dataclass(frozen=True)
class Road:
    """A road with the same lanes over its whole length.

    Args:
        curve: the centre line.
        lanes: traffic lanes per direction.
        lane_width: metres.
        median: width of the raised island between the directions, metres; 0 for none.
        parking: width of the parking lane at the right and at the left kerb (as seen along the curve), 0 for none.
        verge: grass between kerb and sidewalk, metres.
        sidewalk: width of the sidewalks, metres.
        one_sided: the curve begins at another road's centre (the stem of a T-junction).
    """

    curve: Curve
    lanes: int
    lane_width: float
    median: float
    parking: tuple[float, float]
    verge: float
    sidewalk: float
    one_sided: bool = False

    @property
    def traffic_half(self) -> float:
        """Centre line to the outer edge of the traffic lanes."""
        return 0.5 * self.median + self.lanes * self.lane_width + 0.3

    def edge(self, side: int) -> float:
        """Offset of the kerb at the left (side 1) or right (side -1)."""
        return side * (self.traffic_half + self.parking[0 if side < 0 else 1])

    def back(self, side: int) -> float:
        """Offset of the far edge of the sidewalk."""
        return self.edge(side) + side * (self.verge + self.sidewalk)


@dataclass(frozen=True)
class Lane:
    """One lane from end to end, in the direction of travel.

    Args:
        curve: the lane's centre line.
        width: metres.
        road: index of the road.
        along: 1 where the lane runs along the road's curve, -1 against it.
        rank: 0 for the lane nearest to the centre line.
        stop: positions of stop lines along the lane, with the index of the junction behind each.
        through: for each junction in `stop`, the positions where the lane enters and leaves it.
    """

    curve: Curve
    width: float
    road: int
    along: int
    rank: int
    stop: tuple[tuple[float, int], ...]
    through: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Junction:
    """A junction of a side road with the main road.

    Args:
        side_road: index of the side road.
        main_s: station of the centre on the main road's curve.
        side_s: station of the centre on the side road's curve.
        main_half, side_half: half the junction's length along the main and along the side road, metres.
        area: the junction's surface.
        green: "main", "side", or "turn" (only the ego vehicle's approach moves).
    """

    side_road: int
    main_s: float
    side_s: float
    main_half: float
    side_half: float
    area: shapely.Polygon
    green: str


@dataclass(frozen=True)
class Crossing:
    """A zebra crossing: its area, the road that it crosses, and the station of its middle on that road's curve."""

    area: shapely.Polygon
    road: int
    s: float
    width: float
    junction: int


@dataclass
class Street:
    """The static layout of one scene's roads.

    Args:
        hand: 1 for traffic on the right, -1 for traffic on the left.
        extent: the built area.
        start: station on the main road at which the ego vehicle's trip begins.
        roads: the main road first.
        stop_lines: area and the index of the junction.
    """

    hand: int
    extent: shapely.Polygon
    start: float
    roads: list[Road]
    junctions: list[Junction]
    lanes: list[Lane]
    crossings: list[Crossing]
    stop_lines: list[tuple[shapely.Polygon, int]]
    road_area: shapely.Polygon
    medians: list[shapely.Polygon]
    road_dividers: list[NDArray] = field(default_factory=list)
    lane_dividers: list[NDArray] = field(default_factory=list)


def lay_out(rng: np.random.Generator, trip: float, hand: int, ego_turns: bool, content: StreetContent) -> Street:
    """Draw a street.

    Args:
        rng: source of all random choices.
        trip: length of the ego vehicle's trip along the main road, metres.
        hand: 1 for traffic on the right, -1 for traffic on the left.
        ego_turns: one junction in the middle of the trip gets a side road for the ego vehicle to turn into.
        content: size of the built area.
    """
    start = content.margin
    main = _main_road(rng, trip, start)
    roads = [main]
    junctions: list[Junction] = []
    for station in _junction_stations(rng, main, start, trip, ego_turns):
        side = _side_road(rng, main, station, content.side)
        green = str(rng.choice(["main", "main", "side"]))
        if abs(station - start) < EGO_CLEARANCE:
            green = "main"
        if ego_turns and not junctions:
            green = "turn"
        junctions.append(_meet(main, side, len(roads), station, green))
        roads.append(side)
    crossings = _crossings(rng, roads, junctions)
    lanes = [lane for index, road in enumerate(roads) for lane in _lanes_of(road, index, junctions, crossings, hand)]
    medians = _medians(roads, junctions, crossings)
    area = shapely.union_all([_surface(road) for road in roads])
    area = area.buffer(CORNER_RADIUS, quad_segs=4).buffer(-CORNER_RADIUS, quad_segs=4)
    extent = main.curve.strip(0, main.curve.length, -30.0, 30.0, 8.0).envelope.buffer(
        content.side - 30.0, join_style="mitre"
    )
    street = Street(
        hand=hand,
        extent=extent,
        start=start,
        roads=roads,
        junctions=junctions,
        lanes=lanes,
        crossings=crossings,
        stop_lines=[(area, junction) for lane in lanes for area, junction in _stop_areas(lane)],
        road_area=area.intersection(extent),
        medians=medians,
    )
    _divide(street)
    return street


def free_stations(street: Street, road: int, margin: float) -> list[tuple[float, float]]:
    """Stretches [low, high] of a road's curve at least `margin` metres from every junction and crossing."""
    curve = street.roads[road].curve
    blocked = [
        (junction.main_s, junction.main_half) if road == 0 else (junction.side_s, junction.side_half)
        for junction in street.junctions
        if road in (0, junction.side_road)
    ]
    blocked += [(crossing.s, 0.5 * crossing.width) for crossing in street.crossings if crossing.road == road]
    return _gaps(0.0, curve.length, [(s - half - margin, s + half + margin) for s, half in blocked])


def _gaps(low: float, high: float, blocked: list[tuple[float, float]]) -> list[tuple[float, float]]:
    free, here = [], low
    for begin, end in sorted(blocked):
        if begin > here:
            free.append((here, min(begin, high)))
        here = max(here, end)
    if here < high:
        free.append((here, high))
    return [(a, b) for a, b in free if b - a > 1.0]


def _main_road(rng: np.random.Generator, trip: float, margin: float) -> Road:
    length = trip + 2 * margin
    bend = float(rng.choice([0.0, 1.0, -1.0])) / rng.uniform(110, 320)
    shape = rng.choice(["straight", "bend", "s"])
    if shape == "straight":
        pieces = [(length, 0.0)]
    elif shape == "bend":
        pieces = [(0.3 * length, 0.0), (0.4 * length, bend), (0.3 * length, 0.3 * bend)]
    else:
        pieces = [(0.25 * length, bend), (0.25 * length, 0.0), (0.25 * length, -bend), (0.25 * length, 0.0)]
    curve = Curve.integrate((0.0, 0.0), rng.uniform(-np.pi, np.pi), pieces)
    middle = curve.at(0.5 * length)
    lanes = int(rng.choice([1, 2, 2, 3], p=[0.4, 0.3, 0.2, 0.1]))
    return Road(
        curve=Curve(curve.point - middle),
        lanes=lanes,
        lane_width=rng.uniform(3.1, 3.7),
        median=float(rng.uniform(1.2, 3.0)) if rng.random() < (0.6 if lanes >= 2 else 0.25) else 0.0,
        parking=tuple(float(rng.uniform(2.1, 2.5)) if rng.random() < 0.55 else 0.0 for _ in range(2)),  # type: ignore[arg-type]
        verge=float(rng.uniform(1.0, 2.5)) if rng.random() < 0.4 else 0.0,
        sidewalk=rng.uniform(1.8, 4.2),
    )


def _junction_stations(rng: np.random.Generator, main: Road, start: float, trip: float, ego_turns: bool) -> list[float]:
    if ego_turns:
        stations = [start + 0.35 * trip + 12.0]
    elif rng.random() < 0.75:
        stations = [start + rng.uniform(-20.0, trip + 45.0)]
    else:
        stations = []
    for _ in range(int(rng.integers(0, 3))):
        other = rng.uniform(25.0, main.curve.length - 25.0)
        if all(abs(other - station) > 60.0 for station in stations):
            stations.append(other)
    return stations


def _side_road(rng: np.random.Generator, main: Road, station: float, side: float) -> Road:
    center, heading = main.curve.at(station), float(main.curve.heading_at(station))
    angle = heading + 0.5 * np.pi + rng.uniform(-0.22, 0.22)
    reach, bend = side + 40.0, rng.uniform(-1, 1) / 250.0
    one_sided = rng.random() < 0.4
    if one_sided and rng.random() < 0.5:
        angle += np.pi
    ahead = Curve.integrate(center, angle, [(40.0, 0.0), (reach - 40.0, bend)])
    point = ahead.point
    if not one_sided:
        behind = Curve.integrate(center, angle + np.pi, [(40.0, 0.0), (reach - 40.0, rng.uniform(-1, 1) / 250.0)])
        point = np.concatenate([behind.point[:0:-1], point])
    return Road(
        curve=Curve(point),
        lanes=1,
        lane_width=rng.uniform(3.0, 3.5),
        median=0.0,
        parking=(float(rng.uniform(2.1, 2.4)) if rng.random() < 0.4 else 0.0, 0.0),
        verge=0.0,
        sidewalk=rng.uniform(1.6, 3.0),
        one_sided=bool(one_sided),
    )


def _surface(road: Road) -> shapely.Polygon:
    return road.curve.strip(0.0, road.curve.length, road.edge(-1), road.edge(1))


def _meet(main: Road, side: Road, side_index: int, station: float, green: str) -> Junction:
    side_s = 0.0 if side.one_sided else side.curve.nearest(main.curve.at(station))
    main_half = 0.5 * (side.edge(1) - side.edge(-1)) + 2.0
    side_half = max(main.edge(1), -main.edge(-1)) + 2.0
    area = main.curve.strip(station - main_half, station + main_half, main.edge(-1), main.edge(1))
    return Junction(side_index, station, side_s, main_half, side_half, area, green)


def _crossings(rng: np.random.Generator, roads: list[Road], junctions: list[Junction]) -> list[Crossing]:
    crossings = []
    for index, junction in enumerate(junctions):
        arms = [(0, junction.main_s, junction.main_half, 1), (0, junction.main_s, junction.main_half, -1)]
        arms += [(junction.side_road, junction.side_s, junction.side_half, 1)]
        if not roads[junction.side_road].one_sided:
            arms += [(junction.side_road, junction.side_s, junction.side_half, -1)]
        for road, center, half, direction in arms:
            width = rng.uniform(2.6, 4.0)
            s = center + direction * (half + CORNER_RADIUS - 1.5 + 0.5 * width)
            if rng.random() < 0.7 and width < s < roads[road].curve.length - width:
                area = roads[road].curve.strip(
                    s - 0.5 * width, s + 0.5 * width, roads[road].edge(-1), roads[road].edge(1)
                )
                crossings.append(Crossing(area, road, float(s), float(width), index))
    return crossings


def _lanes_of(road: Road, index: int, junctions: list[Junction], crossings: list[Crossing], hand: int) -> list[Lane]:
    lanes = []
    for along in (1, -1):
        for rank in range(road.lanes):
            d = -along * hand * (0.5 * road.median + (rank + 0.5) * road.lane_width)
            curve = road.curve.offset(d, backwards=along < 0)
            stops, through = [], []
            for number, junction in enumerate(junctions):
                if index not in (0, junction.side_road):
                    continue
                s, half = (junction.main_s, junction.main_half) if index == 0 else (junction.side_s, junction.side_half)
                near = [c for c in crossings if c.junction == number and c.road == index and (c.s - s) * along < 0]
                clear = abs(near[0].s - s) + 0.5 * near[0].width if near else half + CORNER_RADIUS - 2.0
                stop, enter = curve.nearest(road.curve.at(s - along * (clear + STOP_GAP), d)), s - along * half
                if road.one_sided and along > 0:
                    stop = -1.0  # the lane begins here; nobody waits
                stops.append((stop, number))
                through.append(
                    (curve.nearest(road.curve.at(enter, d)), curve.nearest(road.curve.at(s + along * half, d)))
                )
            lanes.append(Lane(curve, road.lane_width, index, along, rank, tuple(stops), tuple(through)))
    return lanes


def _stop_areas(lane: Lane) -> list[tuple[shapely.Polygon, int]]:
    half = 0.5 * lane.width - 0.1
    return [
        (lane.curve.strip(s - 0.25, s + 0.25, -half, half, 1.0), junction)
        for s, junction in lane.stop
        if 3.0 < s < lane.curve.length - 3.0
    ]


def _medians(roads: list[Road], junctions: list[Junction], crossings: list[Crossing]) -> list[shapely.Polygon]:
    main = roads[0]
    if main.median == 0.0:
        return []
    blocked = [(j.main_s - j.main_half - 9.0, j.main_s + j.main_half + 9.0) for j in junctions]
    blocked += [(c.s - 0.5 * c.width - 0.8, c.s + 0.5 * c.width + 0.8) for c in crossings if c.road == 0]
    half = 0.5 * main.median - 0.25
    return [
        main.curve.strip(low, high, -half, half).buffer(-0.2).buffer(0.2, quad_segs=3)
        for low, high in _gaps(0.0, main.curve.length, blocked)
        if high - low > 6.0
    ]


def _divide(street: Street) -> None:
    """Lines between the directions (road dividers) and between the lanes of one direction (lane dividers)."""
    for index, road in enumerate(street.roads):
        for low, high in free_stations(street, index, margin=CORNER_RADIUS - 2.0):
            street.road_dividers.append(road.curve.line(low, high, 0.0))
            for side in (-1, 1):
                for rank in range(1, road.lanes):
                    d = side * (0.5 * road.median + rank * road.lane_width)
                    street.lane_dividers.append(road.curve.line(low, high, d))
