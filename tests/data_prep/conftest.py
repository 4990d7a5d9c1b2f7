"""A tiny nuScenes data root: two scenes, moving sensors, sweeps, two cameras, point labels and boxes."""

from __future__ import annotations

import importlib.util
import io
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nuscenes.utils.color_map import get_colormap
from PIL import Image


def _share(name: str) -> None:
    """Let tests import NAME.py from this folder, which pytest's importlib mode does not."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_share("scannet_room")

VERSION = "v1.0-mini"
SCENES = ("scene-0061", "scene-0103")  # of nuScenes' train and val splits
KEYFRAMES, SWEEPS_BETWEEN = 3, 2
IMAGE_SIZE = (64, 48)
SWEEP_US, KEY_US = 50_000, 150_000
CAMERAS = {"CAM_FRONT": (0.5, -0.5, 0.5, -0.5), "CAM_BACK": (0.5, -0.5, -0.5, 0.5)}


def quaternion_about_z(angle: float) -> list[float]:
    return [float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2))]


def cloud(rng: np.random.Generator) -> np.ndarray:
    """[N, 5]: ground, four small objects, a few returns from the vehicle."""
    ground = np.column_stack([rng.uniform(-30, 30, (600, 2)), rng.normal(-1.84, 0.03, 600)])
    centres = np.array([[6, 9, -1], [-8, 12, -1], [10, -7, -1], [-6, -9, -1]])
    objects = (centres[:, None] + rng.uniform(-0.6, 0.6, (4, 40, 3))).reshape(-1, 3)
    own = rng.uniform(-0.9, 0.9, (30, 3))
    xyz = np.concatenate([ground, objects, own])
    return np.column_stack([xyz, rng.integers(0, 256, len(xyz)), rng.integers(0, 32, len(xyz))]).astype(np.float32)


class RootWriter:
    """Collects records and writes files; tokens are counted."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, np.random.default_rng(seed)
        self.tables: dict[str, list[dict[str, Any]]] = {}

    def add(self, table: str, **fields: Any) -> str:
        records = self.tables.setdefault(table, [])
        token = f"{table}{len(records):04d}"
        records.append({"token": token, **fields})
        return token

    def put(self, path: str, content: bytes) -> str:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)
        return path

    def jpeg(self) -> bytes:
        stream = io.BytesIO()
        pixels = self.rng.integers(0, 256, (IMAGE_SIZE[1], IMAGE_SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG")
        return stream.getvalue()


def write_root(root: Path, seed: int = 0) -> Path:
    w = RootWriter(root, seed)
    names = list(get_colormap())  # nuScenes' 32 categories in index order
    categories = {name: w.add("category", name=name, description="", index=i) for i, name in enumerate(names)}
    attribute = w.add("attribute", name="vehicle.moving", description="")
    visibility = w.add("visibility", level="v80-100", description="")
    log = w.add("log", logfile="", vehicle="", date_captured="2018-01-01", location="singapore-onenorth")
    w.add("map", log_tokens=[log], category="semantic_prior", filename=w.put("maps/blank.png", b"png"))
    sensor = w.add("sensor", channel="LIDAR_TOP", modality="lidar")
    rotation = quaternion_about_z(-np.pi / 2)
    calibrated = {
        "LIDAR_TOP": w.add(
            "calibrated_sensor",
            sensor_token=sensor,
            translation=[0.9, 0.0, 1.84],
            rotation=rotation,
            camera_intrinsic=[],
        )
    }
    for channel, rotation in CAMERAS.items():
        intrinsic = [[40.0, 0.0, 32.0], [0.0, 40.0, 24.0], [0.0, 0.0, 1.0]]
        sensor = w.add("sensor", channel=channel, modality="camera")
        calibrated[channel] = w.add(
            "calibrated_sensor",
            sensor_token=sensor,
            translation=[1.5, 0.1, 1.5],
            rotation=list(rotation),
            camera_intrinsic=intrinsic,
        )
    for number, name in enumerate(SCENES):
        _write_scene(
            w, name, 1_600_000_021_000_000 + number * 60_000_000, calibrated, categories, attribute, visibility
        )
    for table, records in w.tables.items():
        w.put(f"{VERSION}/{table}.json", json.dumps(records).encode())
    return root


def _write_scene(w: RootWriter, name: str, start: int, calibrated: dict, categories: dict, *tokens: str) -> None:
    log = w.tables["log"][0]["token"]
    scene = w.add("scene", name=name, description="", log_token=log, nbr_samples=KEYFRAMES)
    instances = [w.add("instance", category_token=categories[c]) for c in ("vehicle.car", "animal")]
    previous: dict[str, dict] = {}
    samples: list[str] = []
    for key in range(KEYFRAMES):
        time = start + key * KEY_US
        samples.append(w.add("sample", timestamp=time, scene_token=scene, prev="", next=""))
        for sweep in range(-SWEEPS_BETWEEN if key else 0, 1):
            _add_recording(w, samples[-1], "LIDAR_TOP", time + sweep * SWEEP_US, sweep == 0, calibrated, previous)
        for camera in CAMERAS:
            _add_recording(w, samples[-1], camera, time - 20_000, True, calibrated, previous)
        for index, instance in enumerate(instances):
            _add_annotation(w, samples[-1], key, index, instance, tokens, previous)
    w.tables["scene"][-1] |= {"first_sample_token": samples[0], "last_sample_token": samples[-1]}


def _add_recording(
    w: RootWriter, sample: str, channel: str, time: int, is_key: bool, calibrated: dict, previous: dict
) -> None:
    seconds = (time % 60_000_000) / 1e6
    pose = {"translation": [400.0 + 8 * seconds, 1100.0 + seconds, 0.0], "rotation": quaternion_about_z(0.3 * seconds)}
    folder = f"{'samples' if is_key else 'sweeps'}/{channel}"
    if channel == "LIDAR_TOP":
        points = cloud(w.rng)
        file = w.put(f"{folder}/{time}.pcd.bin", points.tobytes())
        width, height = 0, 0
    else:
        file, (width, height) = w.put(f"{folder}/{time}.jpg", w.jpeg()), IMAGE_SIZE
    record = {
        "sample_token": sample,
        "ego_pose_token": w.add("ego_pose", timestamp=time, **pose),
        "calibrated_sensor_token": calibrated[channel],
        "timestamp": time,
        "fileformat": "pcd" if channel == "LIDAR_TOP" else "jpg",
        "is_key_frame": is_key,
        **{"height": height, "width": width, "filename": file, "prev": "", "next": ""},
    }
    before = previous.get(channel)
    record["prev"] = before["token"] if before else ""
    token = w.add("sample_data", **record)
    if before:
        before["next"] = token
    previous[channel] = w.tables["sample_data"][-1]
    if channel == "LIDAR_TOP" and is_key:
        labels = w.rng.integers(0, 32, len(points), dtype=np.uint8)
        w.add("lidarseg", sample_data_token=token, filename=w.put(f"lidarseg/{VERSION}/{token}.bin", labels.tobytes()))


def _add_annotation(
    w: RootWriter, sample: str, key: int, index: int, instance: str, tokens: tuple[str, ...], previous: dict
) -> None:
    before = previous.get(instance)
    token = w.add(
        "sample_annotation",
        sample_token=sample,
        instance_token=instance,
        visibility_token=tokens[1],
        attribute_tokens=[tokens[0]],
        translation=[410.0 + 1.5 * key, 1105.0 + index, 0.8],
        size=[1.9, 4.5, 1.6],
        rotation=quaternion_about_z(0.7),
        num_lidar_pts=1,
        num_radar_pts=0,
        prev=before["token"] if before else "",
        next="",
    )
    if before:
        before["next"] = token
    previous[instance] = w.tables["sample_annotation"][-1]


@pytest.fixture(scope="session")
def pristine_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that tests must not change."""
    return write_root(tmp_path_factory.mktemp("nuscenes") / "root")


@pytest.fixture
def root(pristine_root: Path, tmp_path: Path) -> Path:
    """A copy that tests may change."""
    return Path(shutil.copytree(pristine_root, tmp_path / "root"))


@pytest.fixture
def edit_table(root: Path) -> Callable[[str, Callable[[list], Any]], None]:
    """edit_table("sample", lambda records: ...) changes a table of `root` in place."""

    def edit(table: str, change: Callable[[list], Any]) -> None:
        path = root / VERSION / f"{table}.json"
        records = json.loads(path.read_text())
        change(records)
        path.write_text(json.dumps(records))

    return edit


@pytest.fixture(scope="session")
def real_root() -> Path:
    """One real keyframe of nuScenes."""
    if "PC_SSL_REAL_DATA" not in os.environ:
        pytest.skip("PC_SSL_REAL_DATA is not set to a folder with nuscenes-real/")
    return Path(os.environ["PC_SSL_REAL_DATA"]) / "nuscenes-real"


@pytest.fixture
def in_child() -> Callable[..., int]:
    """`in_child(work, kill_after_s=None)`: exit code of `work` in a forked process, negative for a signal."""

    def run(work: Callable[[], object], kill_after_s: float | None = None) -> int:
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        return child.exitcode or 0

    return run


@pytest.fixture
def die_at() -> Callable[..., Callable[..., None]]:
    """`die_at(step, after=...)`: a rename that ends the process before or after its n-th call, without any clean-up."""

    def dying(step: int, *, after: bool) -> Callable[..., None]:
        rename, calls = os.replace, [0]

        def replace(*arguments: Path) -> None:
            if calls[0] == step and not after:
                os._exit(9)
            rename(*arguments)
            if calls[0] == step and after:
                os._exit(9)
            calls[0] += 1

        return replace

    return dying
