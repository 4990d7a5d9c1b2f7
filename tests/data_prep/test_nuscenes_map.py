import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nuscenes.map_expansion.map_api import NuScenesMap

from data_prep.nuscenes import NuScenesReader
from data_prep.nuscenes_map import GRID, MAP_LAYERS, LocationMap
from pc_ssl.errors import UserError
from pc_ssl.geometry import yaw_of

VERSION, LOCATION = "v1.0-mini", "singapore-onenorth"
MIDDLE = np.array([400.0, 1100.0])  # near the vehicle of the tiny root
EMPTY = ("road_segment", "road_block", "lane", "traffic_light", "lane_connector")


class MapWriter:
    """Writes a map expansion around (400, 1100), where the tiny root's vehicle drives."""

    def __init__(self) -> None:
        layers = {layer for layers in MAP_LAYERS.values() for layer in layers}
        self.content: dict[str, Any] = {name: [] for name in ("polygon", "line", "node", *layers, *EMPTY)}
        self.content |= {"version": "1.3", "canvas_edge": [2000.0, 2000.0], "connectivity": {}, "arcline_path_3": {}}

    def nodes(self, xy: np.ndarray) -> list[str]:
        first = len(self.content["node"])
        self.content["node"] += [
            {"token": f"node{first + i}", "x": float(x), "y": float(y)} for i, (x, y) in enumerate(xy)
        ]
        return [f"node{first + i}" for i in range(len(xy))]

    def polygon(self, ring: np.ndarray, *holes: np.ndarray) -> str:
        token = f"polygon{len(self.content['polygon'])}"
        inner = [{"node_tokens": self.nodes(hole)} for hole in holes]
        self.content["polygon"].append({"token": token, "exterior_node_tokens": self.nodes(ring), "holes": inner})
        return token

    def add(self, layer: str, **fields: Any) -> None:
        self.content[layer].append({"token": f"{layer}{len(self.content[layer])}", **fields})

    def line(self, layer: str, xy: np.ndarray) -> None:
        token = f"line{len(self.content['line'])}"
        self.content["line"].append({"token": token, "node_tokens": self.nodes(xy)})
        self.add(layer, line_token=token, **{"lane_divider_segments": [], "road_divider_segments": []})


def square(x: float, y: float, half: float) -> np.ndarray:
    return np.array([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]])


def write_map(root: Path) -> dict[str, Any]:
    writer = MapWriter()
    road = writer.polygon(square(410, 1105, 60), square(380, 1120, 8))
    far = writer.polygon(square(900, 900, 30))
    writer.add("drivable_area", polygon_tokens=[road, far])
    turned = square(0, 0, 6) @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    for number, layer in enumerate(("ped_crossing", "walkway", "stop_line", "carpark_area")):
        ring = turned + np.array([390 + 14 * number, 1090 + 7 * number])
        more = {"stop_line_type": "YIELD", "road_block_tokens": []} if layer == "stop_line" else {}
        writer.add(layer, polygon_token=writer.polygon(ring), **more)
    writer.line("road_divider", np.array([[370.0, 1080], [420, 1111], [430, 1140]]))
    writer.line("lane_divider", np.array([[400.0, 1140], [405, 1060]]))
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(writer.content))
    return writer.content


def devkit_mask(root: Path, global_from_lidar: np.ndarray, layers: tuple[str, ...]) -> np.ndarray:
    """The devkit's mask with BEVFusion's arguments, transposed to [rows y, columns x]."""
    forwards = global_from_lidar[:3, :3] @ [1.0, 0, 0]
    degrees = np.arctan2(forwards[1], forwards[0]) / np.pi * 180
    patch = (*global_from_lidar[:2, 3], 2 * GRID.reach, 2 * GRID.reach)
    return NuScenesMap(str(root), LOCATION).get_map_mask(patch, degrees, list(layers), (200, 200)).any(axis=0)


def test_maps_equal_the_devkits(root: Path) -> None:
    write_map(root)
    reader = NuScenesReader(root, VERSION)
    assert not any("map" in part for part in reader.absent())
    for frame in (reader.frames(None)[0], reader.frames(None)[-1]):
        raw = reader.source(frame).read()
        assert raw.bev_map is not None
        assert raw.bev_map.shape == (6, 200, 200)
        for mask, (name, layers) in zip(raw.bev_map, MAP_LAYERS.items(), strict=True):
            assert mask.sum() > 50, name
            np.testing.assert_array_equal(mask, devkit_mask(root, raw.global_from_lidar, layers), err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_maps_equal_the_devkits_cell_by_cell(root: Path, seed: int) -> None:
    rng, writer = np.random.default_rng(seed), MapWriter()
    for layer in (layer for layers in MAP_LAYERS.values() for layer in layers):
        for _ in range(12):
            if layer.endswith("divider"):
                writer.line(layer, MIDDLE + rng.uniform(-90, 90, (2, 2)))
                continue
            centre = MIDDLE + rng.uniform(-70, 70, 2)
            corners = square(0, 0, rng.uniform(0.2, 20)) @ rotation(rng.uniform(0, 7))
            token = writer.polygon(centre + corners, *([centre + corners / 3] if rng.random() < 0.3 else []))
            own = {"polygon_tokens": [token]} if layer == "drivable_area" else {"polygon_token": token}
            more = {"stop_line_type": "YIELD", "road_block_tokens": []} if layer == "stop_line" else {}
            writer.add(layer, **own, **more)
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(writer.content))
    pose, yaw = np.eye(4), rng.uniform(-np.pi, np.pi)
    pose[:2, :2], pose[:2, 3] = rotation(-yaw), MIDDLE + rng.uniform(-20, 20, 2)
    position = (float(pose[0, 3]), float(pose[1, 3]))
    near = LocationMap.read(path).near(position, GRID.reach)
    for name, layers in MAP_LAYERS.items():
        mask = GRID.rasterize(near[name], position, yaw_of(pose))
        assert mask.sum() > 100
        np.testing.assert_array_equal(mask, devkit_mask(root, pose, layers), err_msg=name)


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def test_an_element_is_at_its_position_in_the_lidar_frame(root: Path) -> None:
    write_map(root)
    reader = NuScenesReader(root, VERSION)
    raw = reader.source(reader.frames(None)[-1]).read()
    assert raw.bev_map is not None
    for index, (x, y) in enumerate([(390.0, 1090.0), (404, 1097), (418, 1104), (432, 1111)]):
        centre = np.linalg.inv(raw.global_from_lidar) @ [x, y, raw.global_from_lidar[2, 3], 1]
        column, row = ((centre[:2] + GRID.reach) / GRID.cell_size).astype(int)
        assert raw.bev_map[1 + index, row, column]


def test_the_map_is_in_the_cache_frame_and_its_classes_in_the_manifest(root: Path) -> None:
    from data_prep.options import choose_stages

    write_map(root)
    reader = NuScenesReader(root, VERSION)
    stages = choose_stages(classes=reader.classes()["label"])
    raw = reader.source(reader.frames(None)[0]).read()
    tensors = stages(raw)
    assert (tensors["bev_map"].dtype, tensors["bev_map"].shape) == (np.bool_, (6, 200, 200))
    assert reader.classes()["map"] == list(MAP_LAYERS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("walkway"), "KeyError: 'walkway'"),
        (lambda content: content["node"].pop(0), "KeyError: 'node0'"),
        (lambda content: content["polygon"].clear(), "invalid layer drivable_area"),
        (lambda content: content["node"][0].update(x="east"), "could not convert string to float"),
        (lambda content: content["line"][0].pop("node_tokens"), "KeyError: 'node_tokens'"),
        (lambda content: content.update(stop_line=3), "invalid layer stop_line"),
    ],
)
def test_damaged_maps_are_named(root: Path, change: Callable[[dict], Any], message: str) -> None:
    content = write_map(root)
    change(content)
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as caught:
        LocationMap.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_location_that_leaves_the_root_is_rejected(root: Path) -> None:
    path = root / VERSION / "log.json"
    records = json.loads(path.read_text())
    records[0]["location"] = "../../../../etc/passwd"
    path.write_text(json.dumps(records))
    with pytest.raises(UserError, match="leaves the folder"):
        NuScenesReader(root, VERSION).absent()
