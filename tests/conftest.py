"""A tiny street on disk, written through the cache itself: no simulator and no reader is needed to test what trains."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from data_prep.scannet_names import BOX_CLASSES
from pc_ssl.data.cache import Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.experiments.jobs import Job

settings.register_profile("no deadline", deadline=None)  # tests run side by side on busy cores
settings.load_profile("no deadline")

LABELS = (
    "ignore", "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian", "traffic_cone",
    "trailer", "truck", "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade", "vegetation",
)  # fmt: skip
CAMERA_FROM_LIDAR = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float32)  # looks at +y
INTRINSIC = np.array([[40, 0, 40], [0, 40, 24], [0, 0, 1]], dtype=np.float32)
IMAGE_SIZE = (80, 48)  # width, height
MAP_CLASSES = ("drivable_area", "ped_crossing", "walkway", "stop_line", "carpark_area", "divider")
BEV_MAP = {"reach": 50.0, "cell_size": 0.5}
ROOM_COLUMNS = ("x", "y", "z", "red", "green", "blue", "normal_x", "normal_y", "normal_z")
ROOM_LABELS = ("ignore", *(f"kind-{number}" for number in range(1, 21)))


def street_frame(rng: np.random.Generator) -> dict[str, NDArray]:
    """A road between sidewalks, six cars, four trees and a wall: about 1500 points within 25 m."""
    road = np.column_stack([rng.uniform(-5, 5, 400), rng.uniform(-25, 25, 400), rng.normal(-1.8, 0.02, 400)])
    walk = np.column_stack([rng.choice([-1, 1], 200) * rng.uniform(5, 8, 200), rng.uniform(-25, 25, 200),
                            rng.normal(-1.65, 0.02, 200)])  # fmt: skip
    parts = [(road, 11, -1), (walk, 13, -1)]
    boxes = []
    for car in range(6):
        center = np.array([rng.choice([-3.0, 3.0]), -22.0 + 8 * car + rng.uniform(-1, 1), -1.0])
        parts.append((center + rng.uniform(-0.5, 0.5, (60, 3)) * [1.8, 4.5, 1.5], 4, car))
        boxes.append([*center, 4.5, 1.8, 1.5, np.pi / 2, 0.0, 0.0])
    for tree in range(4):
        center = np.array([rng.choice([-9.0, 9.0]), rng.uniform(-20, 20), 1.0])
        parts.append((center + rng.normal(0, 0.8, (80, 3)), 16, 6 + tree))
    wall = np.column_stack([rng.normal(12, 0.05, 200), rng.uniform(-25, 25, 200), rng.uniform(-1.5, 4, 200)])
    parts.append((wall, 15, 10))
    xyz = np.concatenate([part for part, _, _ in parts])
    label = np.concatenate([np.full(len(part), kind) for part, kind, _ in parts]).astype(np.uint8)
    region = np.concatenate([np.full(len(part), number) for part, _, number in parts]).astype(np.int32)
    label[rng.random(len(label)) < 0.02] = 0
    intensity = rng.uniform(0, 0.2, len(xyz)) + label / 20
    return {
        "points": np.column_stack([xyz, intensity]).astype(np.float32),
        "ground": np.isin(label, (11, 13)) & (region < 0),
        "region/dbscan": region,
        "label": label,
        "box": np.array(boxes, dtype=np.float32),
        "box_class": np.zeros(len(boxes), dtype=np.uint8),
        "bev_map": _bev_map(),
        "ego_pose": np.eye(4),
        "global_from_lidar": np.eye(4),
    } | _camera(xyz)


def _bev_map() -> NDArray[np.bool_]:
    """The road is drivable, and the sidewalks are walked on."""
    x = np.abs(np.arange(-49.75, 50, 0.5))
    bands = np.zeros((len(MAP_CLASSES), len(x)), dtype=bool)
    bands[0], bands[2] = x < 5, (x > 5) & (x < 8)
    return np.repeat(bands[:, None], len(x), axis=1)


def _camera(xyz: NDArray) -> dict[str, NDArray]:
    from PIL import Image

    seen = xyz @ CAMERA_FROM_LIDAR[:3, :3].T
    with np.errstate(all="ignore"):
        pixel = (seen / seen[:, 2:]) @ INTRINSIC[:2].T
    inside = (seen[:, 2] > 1) & (pixel >= 0).all(axis=1) & (pixel < IMAGE_SIZE).all(axis=1)
    buffer = io.BytesIO()
    Image.new("RGB", IMAGE_SIZE, (120, 150, 180)).save(buffer, format="JPEG")
    return {
        "image/CAM_FRONT": np.frombuffer(buffer.getvalue(), dtype=np.uint8),
        "intrinsic/CAM_FRONT": INTRINSIC,
        "camera_from_lidar/CAM_FRONT": CAMERA_FROM_LIDAR,
        "pixel/CAM_FRONT": pixel[inside].astype(np.float32),
        "point/CAM_FRONT": np.flatnonzero(inside).astype(np.int32),
        "superpixel/slic/CAM_FRONT": _tiles(),
    }


def _tiles() -> NDArray[np.int32]:
    """Superpixels of 8 x 8 pixels."""
    column, row = np.meshgrid(np.arange(IMAGE_SIZE[0]) // 8, np.arange(IMAGE_SIZE[1]) // 8)
    return (row * (IMAGE_SIZE[0] // 8) + column).astype(np.int32)


def write_street_cache(folder: Path, train: int, val: int, keyframes: int = 2) -> Cache:
    """A cache of `train` + `val` scenes."""
    scenes = [f"street-{number:02d}" for number in range(train + val)]
    entries = []
    for number, scene in enumerate(scenes):
        for k in range(keyframes):
            pose = np.eye(4)
            pose[1, 3] = k  # metres along the road
            street = street_frame(np.random.default_rng([number, k]))
            content = encode_frame(street | {"ego_pose": pose, "global_from_lidar": pose})
            entries.append(write_frame(folder, scene, f"{scene}-{k}", 500_000 * k, content))
    manifest = Manifest(
        dataset="street",
        version="test",
        options={"regions": "dbscan", "bev_map": BEV_MAP},
        classes={"label": LABELS, "box": ["car"], "map": list(MAP_CLASSES)},
        splits={"train": scenes[:train], "val": scenes[train:]},
        frames=entries,
        columns=("x", "y", "z", "intensity"),
    )
    write_manifest(folder, manifest)
    return Cache(folder)


def room_frame(rng: np.random.Generator) -> dict[str, NDArray]:
    """A floor and two walls, and six coloured boxes of 18 kinds on the floor: about 1400 points in 4 x 3 metres."""
    floor = np.column_stack([rng.uniform(0, 4, 400), rng.uniform(0, 3, 400), rng.normal(0, 0.01, 400)])
    walls = [
        np.column_stack([rng.uniform(0, 4, 200), rng.normal(3, 0.01, 200), rng.uniform(0, 2.5, 200)]),
        np.column_stack([rng.normal(4, 0.01, 200), rng.uniform(0, 3, 200), rng.uniform(0, 2.5, 200)]),
    ]
    parts = [(floor, 2, (0, 0, 1)), (walls[0], 1, (0, -1, 0)), (walls[1], 1, (-1, 0, 0))]
    boxes, kinds = [], rng.integers(0, 18, 6)
    for number, kind in enumerate(kinds):
        size = rng.uniform(0.4, 0.9, 3)
        center = np.array([0.7 + 1.2 * (number % 3), 0.8 + 1.3 * (number // 3), size[2] / 2])
        parts.append((center + rng.uniform(-0.5, 0.5, (100, 3)) * size, 3 + kind, (0, 0, 1)))
        boxes.append([*center, *size, 0, 0, 0])
    xyz = np.concatenate([part for part, _, _ in parts])
    label = np.concatenate([np.full(len(part), kind) for part, kind, _ in parts]).astype(np.uint8)
    normal = np.concatenate([np.tile(axis, (len(part), 1)) for part, _, axis in parts])
    region = np.concatenate([np.full(len(part), number) for number, (part, _, _) in enumerate(parts)]).astype(np.int32)
    colour = label[:, None] / 20 * [1.0, 0.5, 0.2] + rng.uniform(0, 0.1, (len(xyz), 3))
    return {
        "points": np.column_stack([xyz, colour, normal]).astype(np.float32),
        "ground": label == 2,
        "region/graph": region,
        "label": label,
        "box": np.array(boxes, dtype=np.float32),
        "box_class": kinds.astype(np.uint8),
        "ego_pose": np.eye(4),
        "global_from_lidar": np.eye(4),
    }


def write_room_cache(folder: Path, train: int, val: int) -> Cache:
    """A cache of `train` + `val` rooms."""
    scenes = [f"room-{number:02d}" for number in range(train + val)]
    entries = [
        write_frame(folder, scene, scene, 0, encode_frame(room_frame(np.random.default_rng(number))))
        for number, scene in enumerate(scenes)
    ]
    classes = {"label": ROOM_LABELS, "box": list(BOX_CLASSES)}
    splits = {"train": scenes[:train], "val": scenes[train:]}
    write_manifest(folder, Manifest("rooms", "test", {"regions": "graph"}, classes, splits, entries, ROOM_COLUMNS))
    return Cache(folder)


@pytest.fixture(scope="session")
def room_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Four training rooms and two for validation; read it, never change it."""
    return write_room_cache(tmp_path_factory.mktemp("rooms") / "cache", train=4, val=2)


@pytest.fixture(scope="session")
def street_cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Four training and two validation scenes of two keyframes each; read it, never change it."""
    return write_street_cache(tmp_path_factory.mktemp("street") / "cache", train=4, val=2)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIPModel with random weights, and a tokenizer of letters, as transformers writes them."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("models") / "clip"
    folder.mkdir()
    letters = [chr(code) for code in range(97, 123)] + list("-.")
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    end = len(tokens) - 1
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokens),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 77,
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=12,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def image_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny image networks with random weights in folders, by the names that configs have for theirs."""
    from transformers import AutoBackbone, Dinov2Config, ResNetConfig, SwinConfig

    configs = {
        "microsoft/swin-tiny-patch4-window7-224": SwinConfig(
            image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 2, 2, 2], window_size=4
        ),
        "microsoft/resnet-50": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1] * 4, layer_type="basic"
        ),
        "work_dirs/image_teacher": ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 12, 16], depths=[1] * 3, layer_type="basic"
        ),
        "facebook/dinov2-large": Dinov2Config(
            hidden_size=16, num_hidden_layers=24, num_attention_heads=2, patch_size=14, image_size=70
        ),
    }
    folders = {}
    for name, config in configs.items():
        folders[name] = tmp_path_factory.mktemp("images") / name.partition("/")[2]
        torch.manual_seed(0)
        AutoBackbone.from_config(config).save_pretrained(folders[name])
    return folders


def call_in_process(job: Job, output: Path, threads: int) -> tuple[int, float]:
    """Run a job's command as a function of this process, which need not import everything again."""
    from pc_ssl.cli import app

    output.touch()
    assert not app([str(argument) for argument in job.arguments], standalone_mode=False)
    return 0, 1.0


@pytest.fixture(scope="module")
def commands_in_process() -> Iterator[None]:
    """Jobs of experiments run in this process, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "_call", call_in_process)
        patch.setattr("os.cpu_count", lambda: 1)
        yield
