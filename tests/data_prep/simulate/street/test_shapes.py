"""Shapes of every annotated class: realistic sizes, on the ground, all different."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data_prep.simulate.mesh import Mesh
from data_prep.simulate.street.cars import car
from data_prep.simulate.street.cycles import bicycle, motorcycle
from data_prep.simulate.street.heavy import bus, construction_vehicle, trailer, truck
from data_prep.simulate.street.people import draw_figure, person
from data_prep.simulate.street.roadside import barrier, traffic_cone

Draw = Callable[[np.random.Generator], Mesh]


def adult(rng: np.random.Generator) -> Mesh:
    return person(draw_figure(rng, "human.pedestrian.adult"), rng.random(), walking=True)


SHAPES: dict[str, tuple[Draw, tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    # lengths, widths and heights of the annotated boxes, metres
    "car": (car, (3.4, 6.2), (1.6, 2.5), (1.2, 2.7)),
    "truck": (truck, (4.8, 10.5), (1.8, 3.2), (1.6, 4.1)),
    "bus": (lambda rng: bus(rng, bendy=False)[0], (9.0, 13.0), (2.4, 3.1), (2.8, 4.9)),
    "trailer": (trailer, (2.3, 14.2), (1.4, 2.8), (0.9, 4.3)),
    "construction_vehicle": (construction_vehicle, (3.0, 9.0), (1.5, 3.2), (2.0, 6.5)),
    "motorcycle": (lambda rng: motorcycle(rng, rider=rng.random() < 0.5), (1.6, 2.6), (0.6, 1.2), (0.9, 2.1)),
    "bicycle": (lambda rng: bicycle(rng, rider=rng.random() < 0.5), (1.5, 2.1), (0.4, 0.9), (0.9, 2.1)),
    "pedestrian": (adult, (0.24, 1.6), (0.4, 1.3), (1.3, 2.5)),
    "traffic_cone": (traffic_cone, (0.25, 0.5), (0.25, 0.5), (0.45, 1.0)),
    "barrier": (lambda rng: barrier(rng, str(rng.choice(["concrete", "water", "board", "fence"]))), (0.3, 0.8),
                (1.6, 2.3), (0.7, 1.2)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_realistic_sizes_and_are_on_the_ground(name: str) -> None:
    draw, *ranges = SHAPES[name]
    for seed in range(25):
        low, high = draw(np.random.default_rng(seed)).bounds()
        for size, (least, most) in zip(high - low, ranges, strict=True):
            assert least <= size <= most, (seed, high - low)
        assert -0.12 < low[2] < 0.2, seed


@pytest.mark.parametrize("name", SHAPES)
def test_no_two_draws_are_alike(name: str) -> None:
    draw = SHAPES[name][0]
    meshes = [draw(np.random.default_rng(seed)) for seed in range(8)]
    assert len({mesh.vertex.tobytes() for mesh in meshes}) == 8


@pytest.mark.parametrize("name", ["car", "truck", "bus", "bicycle", "motorcycle"])
def test_vehicles_are_not_boxes(name: str) -> None:
    """Rays from above hit the vehicle at clearly different heights."""
    for seed in range(5):
        mesh = SHAPES[name][0](np.random.default_rng(seed))
        corner = mesh.vertex[mesh.triangle]
        height = np.sort(corner[:, :, 2].max(1))
        assert np.ptp(np.percentile(height, [5, 95])) > 0.5


def test_walker_swings_legs_through_the_cycle() -> None:
    figure = draw_figure(np.random.default_rng(0), "human.pedestrian.adult")
    spans = [np.ptp(person(figure, phase, walking=True).vertex[:, 0]) for phase in (0.0, 0.25, 0.5, 0.75)]
    assert min(spans[1], spans[3]) > 1.2 * max(spans[0], spans[2])
