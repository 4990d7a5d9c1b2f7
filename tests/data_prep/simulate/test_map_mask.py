from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.simulate.map_mask import BAND, PIXELS_PER_METRE, write_map_mask


def layers_of(rings: list[list[tuple[float, float]]], kind: str) -> dict[str, Any]:
    """A map with one polygon, the first ring its outline, the others its holes."""
    node = [{"token": f"{r}-{k}", "x": x, "y": y} for r, ring in enumerate(rings) for k, (x, y) in enumerate(ring)]
    names = [[f"{r}-{k}" for k in range(len(ring))] for r, ring in enumerate(rings)]
    polygon = {"token": "p", "exterior_node_tokens": names[0], "holes": [{"node_tokens": name} for name in names[1:]]}
    area = {"token": "a", "polygon_tokens": ["p"]} if kind == "drivable_area" else {"token": "a", "polygon_token": "p"}
    return {"node": node, "polygon": [polygon], "drivable_area": [], "walkway": [], kind: [area]}


def square(low: float, high: float) -> list[tuple[float, float]]:
    return [(low, low), (high, low), (high, high), (low, high)]


def test_image_covers_the_area_with_its_hole_and_the_origin_below(tmp_path: Path) -> None:
    height = 2.5 * BAND / PIXELS_PER_METRE  # several bands
    outline = [(10.0, 5.0), (40.0, 5.0), (40.0, height), (10.0, height)]
    hole = square(20.0, 30.0)
    write_map_mask(tmp_path / "mask.png", layers_of([outline, hole], "drivable_area"))
    mask = np.array(Image.open(tmp_path / "mask.png")) == 255
    from_below = mask[::-1]
    at = PIXELS_PER_METRE
    assert from_below[50 * at, 15 * at]
    assert not from_below[25 * at, 25 * at]  # the hole
    assert not from_below[2 * at, 15 * at]
    assert not from_below[50 * at, 5 * at]
    expected = (30.0 * (height - 5.0) - 100.0) * PIXELS_PER_METRE**2
    assert abs(mask.sum() / expected - 1) < 0.01


def test_walkways_are_drawn_too(tmp_path: Path) -> None:
    write_map_mask(tmp_path / "mask.png", layers_of([square(1.0, 9.0)], "walkway"))
    assert np.array(Image.open(tmp_path / "mask.png"))[-50, 50] == 255
