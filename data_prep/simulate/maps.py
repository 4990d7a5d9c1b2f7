"""The map expansion of a location: the layers that nuScenes' NuScenesMap reads, version 1.3.

Lines are stored as short straight pieces: the devkit (1.2) fails on a line that a patch cuts into several parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.street.curve import Curve
from data_prep.simulate.street.layout import Lane, Road, Street, free_stations
from data_prep.simulate.street.trip import even_line, hermite
from data_prep.simulate.street.world import World
from data_prep.simulate.tokens import Tokens

LAYERS = (
    "polygon", "line", "node", "drivable_area", "road_segment", "road_block", "lane", "ped_crossing", "walkway",
    "stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light", "lane_connector",
)  # fmt: skip
GRID = 0.01  # metres; the coordinates of nodes are rounded to it
PIECE = 10.0  # metres; length of the pieces that lines and lanes are cut into
Record = dict[str, Any]


def map_of(world: World, tokens: Tokens, shift: NDArray) -> dict[str, Any]:
    """All layers of one scene as a map expansion's JSON object, without version and canvas.

    Args:
        shift: [2] metres from the scene frame to the location's map frame.
    """
    writer = _Writer(tokens, np.asarray(shift, np.float64))
    street = world.street
    paved = shapely.union_all(
        [street.road_area.difference(shapely.union_all(street.medians))]
        + [area for park in world.car_parks for area in (park.area, park.driveway)]
    )
    drivable = writer.add("drivable_area", polygon_tokens=[writer.polygon(part) for part in _parts(paved)])
    segments = _road_segments(writer, street, drivable)
    for part in _parts(world.walkway):
        writer.add("walkway", polygon_token=writer.polygon(part))
    for park in world.car_parks:
        writer.add("carpark_area", polygon_token=writer.polygon(park.area), orientation=0.0, road_block_token="")
    crossings: dict[int, list[str]] = {}
    for crossing in street.crossings:
        token = writer.add(
            "ped_crossing", polygon_token=writer.polygon(crossing.area), road_segment_token=segments[crossing.road]
        )
        crossings.setdefault(crossing.junction, []).append(token)
    for area, junction in street.stop_lines:
        light = _traffic_light(writer, area)
        writer.add(
            "stop_line", polygon_token=writer.polygon(area), stop_line_type="TRAFFIC_LIGHT", road_block_token="",
            ped_crossing_tokens=crossings.get(junction, []), traffic_light_tokens=[light],
        )  # fmt: skip
    for line in street.road_dividers:
        for token, _ in _short_lines(writer, line):
            writer.add("road_divider", line_token=token, road_segment_token=segments[0])
    for line in street.lane_dividers:
        for token, nodes in _short_lines(writer, line):
            divider = [{"node_token": node, "segment_type": "SINGLE_DASHED_WHITE"} for node in nodes]
            writer.add("lane_divider", line_token=token, lane_divider_segments=divider)
    _lanes(writer, street)
    return writer.layers


@dataclass
class _Writer:
    tokens: Tokens
    shift: NDArray[np.float64]
    layers: dict[str, Any] = field(
        default_factory=lambda: {**{layer: [] for layer in LAYERS}, "arcline_path_3": {}, "connectivity": {}}
    )

    def add(self, layer: str, **fields: Any) -> str:
        token = self.tokens.next(layer)
        self.layers[layer].append({"token": token, **fields})
        return token

    def nodes(self, xy: NDArray) -> list[str]:
        return [self.add("node", x=round(float(x), 2), y=round(float(y), 2)) for x, y in np.asarray(xy) + self.shift]

    def polygon(self, area: shapely.Polygon) -> str:
        rings = [np.array(ring.coords)[:-1] for ring in (area.exterior, *area.interiors)]
        holes = [{"node_tokens": self.nodes(ring)} for ring in rings[1:]]
        return self.add("polygon", exterior_node_tokens=self.nodes(rings[0]), holes=holes)

    def line(self, xy: NDArray) -> tuple[str, list[str]]:
        nodes = self.nodes(xy)
        return self.add("line", node_tokens=nodes), nodes


def _parts(area: shapely.Geometry) -> Iterator[shapely.Polygon]:
    """Valid polygons on the grid of the stored coordinates, without slivers."""
    opened = area.buffer(-GRID, join_style="mitre").buffer(GRID, join_style="mitre")  # no two edges touch
    for part in shapely.get_parts(shapely.set_precision(opened, GRID)):
        if part.geom_type == "Polygon" and part.area > 0.5:
            yield part


def _short_lines(writer: _Writer, line: NDArray) -> Iterator[tuple[str, list[str]]]:
    rough = Curve(line if len(line) > 2 else np.stack([line[0], line.mean(0), line[1]]))  # a tangent needs three
    for low in np.arange(0.0, rough.length - 0.5, PIECE):
        yield writer.line(rough.at(np.array([low, min(low + PIECE, rough.length)])))


def _road_segments(writer: _Writer, street: Street, drivable: str) -> list[str]:
    """One record per stretch of road between junctions, with a block per direction; the first token of each road."""
    first = []
    for index, road in enumerate(street.roads):
        tokens = []
        for low, high in free_stations(street, index, margin=-1.0):
            area = road.curve.strip(low, high, road.edge(-1), road.edge(1))
            token = writer.add(
                "road_segment", polygon_token=writer.polygon(area), is_intersection=False, drivable_area_token=drivable
            )
            tokens.append(token)
            for side in (-1, 1):
                _road_block(writer, road, low, high, side, token)
        first.append(tokens[0] if tokens else "")
    for junction in street.junctions:
        writer.add(
            "road_segment",
            polygon_token=writer.polygon(junction.area),
            is_intersection=True,
            drivable_area_token=drivable,
        )
    return first


def _road_block(writer: _Writer, road: Road, low: float, high: float, side: int, segment: str) -> None:
    span = sorted((0.0, road.edge(side)))
    area = road.curve.strip(low, high, *span)
    edges = [writer.line(road.curve.at(s, np.array(span)))[0] for s in (low, high)]
    writer.add(
        "road_block", polygon_token=writer.polygon(area), from_edge_line_token=edges[0], to_edge_line_token=edges[1],
        road_segment_token=segment,
    )  # fmt: skip


def _traffic_light(writer: _Writer, stop_area: shapely.Polygon) -> str:
    center = np.array(stop_area.centroid.coords[0])
    token, _ = writer.line(np.stack([center, center + np.array([0.5, 0.0])]))
    x, y = center + writer.shift
    pose = {"tx": float(x), "ty": float(y), "tz": 2.75, "rx": 0.0, "ry": 0.0, "rz": 0.0}
    return writer.add(
        "traffic_light", line_token=token, traffic_light_type="VERTICAL", from_road_block_token="", items=[], pose=pose
    )


def _lanes(writer: _Writer, street: Street) -> None:
    """Lanes cut at the junctions, and connectors across them: straight on, and between lanes of two roads."""
    entering: dict[int, list[tuple[str, Lane, float]]] = {}
    leaving: dict[int, list[tuple[str, Lane, float]]] = {}
    for lane in street.lanes:
        cuts = sorted((low, high, stop[1]) for (low, high), stop in zip(lane.through, lane.stop, strict=True))
        here, before = 0.0, None
        for low, high, junction in [*cuts, (lane.curve.length, lane.curve.length, -1)]:
            if low - here > 4.0:
                token = _lane(writer, lane, here, low)
                if before is not None:
                    leaving.setdefault(before, []).append((token, lane, here))
                if junction >= 0:
                    entering.setdefault(junction, []).append((token, lane, low))
            here, before = high, junction
    for junction, arrivals in entering.items():
        for token, lane, low in arrivals:
            for other, target, high in leaving.get(junction, []):
                if target is lane or target.road != lane.road:
                    _connector(writer, token, lane, low, other, target, high)


def _lane(writer: _Writer, lane: Lane, low: float, high: float) -> str:
    half = 0.5 * lane.width
    edges = [writer.line(lane.curve.at(s, np.array([-half, half]))) for s in (low, high)]
    sides = [writer.nodes(lane.curve.line(low, high, d, 8.0)) for d in (half, -half)]
    left, right = ([{"node_token": node, "segment_type": "SINGLE_SOLID_WHITE"} for node in side] for side in sides)
    token = writer.add(
        "lane", polygon_token=writer.polygon(lane.curve.strip(low, high, -half, half)), lane_type="CAR",
        from_edge_line_token=edges[0][0], to_edge_line_token=edges[1][0], left_lane_divider_segments=left,
        right_lane_divider_segments=right,
    )  # fmt: skip
    _describe(writer, token, Curve(lane.curve.line(low, high, 0.0, 1.0)))
    return token


def _connector(writer: _Writer, token: str, lane: Lane, low: float, other: str, target: Lane, high: float) -> None:
    if target is lane:
        curve = Curve(lane.curve.line(low, high, 0.0, 1.0))
    else:
        begin, end = lane.curve.at(low), target.curve.at(high)
        headings = float(lane.curve.heading_at(low)), float(target.curve.heading_at(high))
        curve = Curve(even_line(hermite(begin, headings[0], end, headings[1])))
    half = 0.5 * lane.width
    area = shapely.make_valid(curve.strip(0.0, curve.length, -half, half))
    connector = writer.add(
        "lane_connector", polygon_token=writer.polygon(area if area.geom_type == "Polygon" else area.convex_hull)
    )
    _describe(writer, connector, curve)
    connect = writer.layers["connectivity"]
    connect[token]["outgoing"].append(connector)
    connect[other]["incoming"].append(connector)
    connect[connector] = {"incoming": [token], "outgoing": [other]}


def _describe(writer: _Writer, token: str, curve: Curve) -> None:
    """The lane's centre line as a chain of arcs, and empty lists of its neighbours."""
    writer.layers["connectivity"].setdefault(token, {"incoming": [], "outgoing": []})
    count = max(int(np.ceil(curve.length / PIECE)), 1)
    edge = np.linspace(0.0, curve.length, count + 1)
    writer.layers["arcline_path_3"][token] = [_arc(curve, low, high, writer.shift) for low, high in pairwise(edge)]


def _arc(curve: Curve, low: float, high: float, shift: NDArray) -> Record:
    """One arc of constant curvature between two points of a line, both ends on it."""
    start, end = curve.at(low) + shift, curve.at(high) + shift
    chord = end - start
    heading = float(np.arctan2(chord[1], chord[0]))
    turn = float(curve.heading_at(high) - curve.heading_at(low))
    reach = float(np.linalg.norm(chord))
    radius, length = 1e4, reach
    if abs(turn) > 1e-3:
        radius = 0.5 * reach / np.sin(0.5 * abs(turn))
        length = radius * abs(turn)
    else:
        turn = 0.0
    return {
        "start_pose": [float(start[0]), float(start[1]), heading - 0.5 * turn],
        "end_pose": [float(end[0]), float(end[1]), heading + 0.5 * turn],
        "shape": "LSL" if turn >= 0 else "RSR",
        "radius": float(radius),
        "segment_length": [0.0, length, 0.0] if turn == 0.0 else [length, 0.0, 0.0],
    }
