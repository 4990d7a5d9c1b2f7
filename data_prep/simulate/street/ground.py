"""The ground: its surfaces, their mesh and height.

Surfaces are plane polygons cut out of each other and laid over gentle hills; every kerb is a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.simulate.categories import LABEL
from data_prep.simulate.materials import Material
from data_prep.simulate.mesh import Color, Mesh, join, make, quads
from data_prep.simulate.street.layout import Street
from data_prep.simulate.street.lots import Lot
from data_prep.simulate.street.triangulate import triangulate

SKIRT = 0.4  # metres that kerb faces extend below their edge
BASE_DROP = 0.35  # metres; depth of the plane under all surfaces, which extends to the horizon
HORIZON = 900.0  # metres


@dataclass(frozen=True)
class Surface:
    """Areas of one kind.

    Args:
        name: of the surface.
        label: lidarseg index.
        area: polygons or multipolygons.
        offset: height above the hills, metres; the road's is 0.
        cell: edge of the lattice that the mesh follows, metres.
        mounds: whether the surface is uneven.
    """

    name: str
    label: int
    material: Material
    color: Color
    area: shapely.Geometry
    offset: float
    cell: float = 10.0
    mounds: bool = False


class Ground:
    """Height and surfaces of the ground of one scene; all positions are [N, 2] or (x, y) in the scene frame, metres."""

    def __init__(self, rng: np.random.Generator, surfaces: Sequence[Surface]) -> None:
        self.surfaces = list(surfaces)
        wavelength, direction = rng.uniform(70.0, 190.0, 4), rng.uniform(0, 2 * np.pi, 4)
        wave = 2 * np.pi / wavelength
        self._wave = np.stack([wave * np.cos(direction), wave * np.sin(direction)])
        self._phase = rng.uniform(0, 2 * np.pi, 4)
        self._height = rng.uniform(0.05, 0.35, 4) * wavelength / 130.0
        mound = 2 * np.pi / rng.uniform(18.0, 45.0, 5)
        direction = rng.uniform(0, 2 * np.pi, 5)
        self._mound_wave = np.stack([mound * np.cos(direction), mound * np.sin(direction)])
        self._mound_phase = rng.uniform(0, 2 * np.pi, 5)
        self._mound_height = rng.uniform(0.04, 0.2, 5)
        self._mounds_edge = shapely.union_all([surface.area for surface in surfaces if surface.mounds]).boundary
        for surface in self.surfaces:
            shapely.prepare(surface.area)

    def hills(self, xy: NDArray) -> NDArray[np.float64]:
        """[...] height of the hills without surfaces at xy [..., 2]."""
        xy = np.asarray(xy, np.float64)
        return np.sin(xy @ self._wave + self._phase) @ self._height

    def slope(self, xy: NDArray) -> NDArray[np.float64]:
        """[..., 2] gradient of the hills."""
        xy = np.asarray(xy, np.float64)
        return (np.cos(xy @ self._wave + self._phase) * self._height) @ self._wave.T

    def level(self, xy: NDArray) -> NDArray[np.float64]:
        """[N] height of the surface at xy [N, 2]; the height of the hills outside all surfaces."""
        xy = np.asarray(xy, np.float64).reshape(-1, 2)
        height = self.hills(xy)
        open_rows = np.ones(len(xy), bool)
        for surface in self.surfaces:
            inside = open_rows & shapely.contains_xy(surface.area, xy[:, 0], xy[:, 1])
            height[inside] += surface.offset
            if surface.mounds and inside.any():
                height[inside] += self._mound(xy[inside])
            open_rows &= ~inside
            if not open_rows.any():
                break
        return height

    def _mound(self, xy: NDArray) -> NDArray[np.float64]:
        bump = np.sin(xy @ self._mound_wave + self._mound_phase) @ self._mound_height + 0.15
        away = shapely.distance(self._mounds_edge, shapely.points(xy))
        return bump * np.clip(away / 6.0, 0.0, 1.0)

    def mesh(self) -> tuple[Mesh, NDArray[np.uint8]]:
        """The ground with its kerb faces and the plane under it, and the label of each triangle [T]."""
        meshes, labels = [], []
        for surface in self.surfaces:
            for mesh in (self._top(surface), self._skirt(surface)):
                meshes.append(mesh)
                labels.append(np.full(mesh.num_triangles, surface.label, np.uint8))
        far = HORIZON * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        plane = np.column_stack([far, np.full(4, float(-np.abs(self._height).sum()) - BASE_DROP)])
        meshes.append(quads(plane[None], Material.GRASS, (96, 104, 70)))
        labels.append(np.full(2, LABEL["flat.terrain"], np.uint8))
        return join(meshes), np.concatenate(labels)

    def _top(self, surface: Surface) -> Mesh:
        xy, triangle = triangulate(surface.area, surface.cell)
        z = self.hills(xy) + surface.offset
        if surface.mounds:
            z = z + self._mound(xy)
        return make(np.column_stack([xy, z]), triangle, surface.material, surface.color)

    def _skirt(self, surface: Surface) -> Mesh:
        rings = shapely.get_parts(shapely.get_rings(shapely.get_parts(shapely.segmentize(surface.area, 4.0))))
        corner = []
        for ring in rings:
            xy = shapely.get_coordinates(ring)
            top = np.column_stack([xy, self.hills(xy) + surface.offset])
            low = top - np.array([0.0, 0.0, SKIRT + surface.offset])
            corner.append(np.stack([low[:-1], low[1:], top[1:], top[:-1]], 1))
        material, color = (
            (Material.CONCRETE, (150, 148, 142)) if surface.offset > 0.05 else (surface.material, surface.color)
        )
        return quads(np.concatenate(corner) if corner else np.zeros((0, 4, 3)), material, color)


def lay_ground(
    rng: np.random.Generator, street: Street, lots: Sequence[Lot], car_parks: Sequence[shapely.Polygon]
) -> tuple[Ground, shapely.Geometry]:
    """The ground of a scene, and the area of its sidewalks.

    Args:
        car_parks: parking areas with their driveways; they cut through the sidewalk.
    """
    extent = street.extent
    asphalt = _tint(rng, (92, 92, 94), 14)
    paving = _tint(rng, (152, 146, 138), 22)
    grass = _tint(rng, (92, 112, 58), 18)
    parking_lots = shapely.union_all(list(car_parks)) if car_parks else shapely.Polygon()
    road = street.road_area.difference(shapely.union_all(street.medians))
    roadside = shapely.union_all(
        [r.curve.strip(0.0, r.curve.length, r.back(-1), r.back(1)) for r in street.roads] + [street.road_area]
    )
    roadside = roadside.buffer(3.0, quad_segs=4).buffer(-3.0, quad_segs=4).intersection(extent)
    taken = shapely.union_all([street.road_area, parking_lots])
    verge = shapely.union_all(_verges(street)).difference(taken)
    walkway = roadside.difference(shapely.union_all([taken, verge]))
    taken = shapely.union_all([taken, verge, walkway])
    paved = _lot_area(lots, ("offices", "shops", "apartments"), rng, 0.8).difference(taken)
    soil = _lot_area(lots, ("construction",), rng, 1.0).difference(taken)
    yard = _lot_area(lots, ("depot",), rng, 1.0).difference(taken)
    taken = shapely.union_all([taken, paved, soil, yard])
    lawn = extent.difference(taken)
    surfaces = [
        Surface("road", LABEL["flat.driveable_surface"], Material.ASPHALT, asphalt, road, 0.0),
        Surface(
            "car_park",
            LABEL["flat.driveable_surface"],
            Material.ASPHALT,
            _tint(rng, asphalt, 10),
            parking_lots.difference(street.road_area),
            0.012,
        ),
        Surface(
            "median",
            LABEL["flat.other"],
            Material.PAVING,
            _tint(rng, (158, 154, 146), 12),
            shapely.union_all(street.medians),
            0.16,
        ),
        Surface("walkway", LABEL["flat.sidewalk"], Material.PAVING, paving, walkway, 0.14),
        Surface("verge", LABEL["flat.terrain"], Material.GRASS, grass, verge, 0.15),
        Surface("paved", LABEL["flat.sidewalk"], Material.PAVING, _tint(rng, paving, 16), paved, 0.14),
        Surface("soil", LABEL["flat.terrain"], Material.SOIL, _tint(rng, (142, 116, 86), 18), soil, 0.1, 5.0, True),
        Surface(
            "yard", LABEL["flat.driveable_surface"], Material.CONCRETE, _tint(rng, (138, 136, 130), 14), yard, 0.06
        ),
        Surface("lawn", LABEL["flat.terrain"], Material.GRASS, _tint(rng, grass, 12), lawn, 0.13, 5.0, True),
    ]
    return Ground(rng, [surface for surface in surfaces if not surface.area.is_empty]), walkway


def _verges(street: Street) -> list[shapely.Polygon]:
    return [
        road.curve.strip(0.0, road.curve.length, *sorted((road.edge(side), road.edge(side) + side * road.verge)))
        for road in street.roads
        if road.verge
        for side in (-1, 1)
    ]


def _lot_area(lots: Sequence[Lot], kinds: tuple[str, ...], rng: np.random.Generator, share: float) -> shapely.Geometry:
    chosen = [lot.area for lot in lots if lot.kind in kinds and rng.random() < share]
    return shapely.union_all(chosen) if chosen else shapely.Polygon()


def _tint(rng: np.random.Generator, color: Color, spread: float) -> Color:
    shade = rng.normal(0, 0.6 * spread) + rng.normal(0, 0.25 * spread, 3)
    red, green, blue = np.clip(np.array(color) + shade, 8, 247).astype(int)
    return int(red), int(green), int(blue)
