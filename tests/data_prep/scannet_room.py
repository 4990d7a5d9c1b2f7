"""A small room in ScanNet's file formats, written by their specification."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.reader import RawFrame
from data_prep.scannet import ScanNetReader

SCENE = "scene0000_00"
SIZE, DEPTH_SIZE = (64, 48), (32, 24)
YAW, SHIFT = 0.4, np.array([1.0, -2.0, 0.5])
# the room's objects: label of NYU40, raw name, low and high corner in the aligned frame
THINGS = [
    (2, "floor", (0, 0, 0), (4, 3, 0)),
    (5, "office chair", (1, 1, 0), (1.5, 1.6, 0.9)),
    (39, "trash can", (3, 2, 0), (3.3, 2.4, 0.5)),
    (40, "cup", (2, 0.5, 0.7), (2.1, 0.6, 0.8)),
    (11, "picture", (0.5, 3, 1.2), (1.3, 3, 1.8)),  # flat
]


def world_from_room() -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(YAW), -np.sin(YAW)], [np.sin(YAW), np.cos(YAW)]]
    pose[:3, 3] = SHIFT
    return pose


def things() -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] in the aligned frame, 60 per object, including its corners, and the object [V] of each."""
    rng, parts = np.random.default_rng(0), []
    for _, _, low, high in THINGS:
        parts.append(np.concatenate([[low, high], rng.uniform(low, high, (58, 3))]))
    return np.concatenate(parts), np.repeat(np.arange(len(THINGS)), 60)


def triangles() -> np.ndarray:
    first = np.arange(0, 60 * len(THINGS), 3)
    return np.column_stack([first, first + 1, first + 2])


def ply(
    vertex: np.ndarray, color: np.ndarray, label: np.ndarray | None = None, face: np.ndarray | None = None
) -> bytes:
    names = "float x;float y;float z;uchar red;uchar green;uchar blue;uchar alpha" + (
        ";ushort label" if label is not None else ""
    )
    face = triangles() if face is None else face
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertex)}"]
    head += [f"property {name}" for name in names.split(";")]
    head += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header"]
    rows = b"".join(
        struct.pack("<3f4B", *xyz, *rgb, 255) + (b"" if label is None else struct.pack("<H", label[row]))
        for row, (xyz, rgb) in enumerate(zip(vertex, color, strict=True))
    )
    return "\n".join(head).encode() + b"\n" + rows + b"".join(struct.pack("<B3i", 3, *corners) for corners in face)


def image(kind: str, pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def views() -> list[tuple[int, np.ndarray, bytes, np.ndarray]]:
    """(number, world_from_camera, JPEG, depth [24, 32] uint16) of four frames; tracking was lost in number 20."""
    rng, frames = np.random.default_rng(1), []
    down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # looks down from above
    for number in (0, 10, 20, 40):
        room_from_camera = np.eye(4)
        room_from_camera[:3, :3], room_from_camera[:3, 3] = down, [1.5 + 0.02 * number, 1.5, 2.4]
        pose = world_from_room() @ room_from_camera
        if number == 20:
            pose = np.full((4, 4), -np.inf)
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        depth = np.full(DEPTH_SIZE[::-1], 2400, np.uint16)
        depth[:, :4] = 0
        frames.append((number, pose, image("JPEG", pixels), depth))
    return frames


def intrinsic(size: tuple[int, int]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = 0.8 * size[0]
    matrix[:2, 2] = 0.5 * np.array(size) - 0.5
    return matrix


def text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.6f}" for value in row) for row in matrix) + "\n"


def write_exported(folder: Path) -> None:
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for number, pose, jpeg, depth in views():
        (folder / f"color/{number}.jpg").write_bytes(jpeg)
        (folder / f"depth/{number}.png").write_bytes(image("PNG", depth))
        (folder / f"pose/{number}.txt").write_text(text(pose))
    (folder / "intrinsic/intrinsic_color.txt").write_text(text(intrinsic(SIZE)))
    (folder / "intrinsic/intrinsic_depth.txt").write_text(text(intrinsic(DEPTH_SIZE)))


def sens() -> bytes:
    """Version 4: every frame from 0 to 40, blank except those of `views`."""
    name = b"StructureSensor"
    content = struct.pack("<IQ", 4, len(name)) + name
    for matrix in (intrinsic(SIZE), np.eye(4), intrinsic(DEPTH_SIZE), np.eye(4)):
        content += matrix.astype("<f4").tobytes()
    content += struct.pack("<iiIIIIfQ", 2, 1, *SIZE, *DEPTH_SIZE, 1000.0, 41)
    known = {number: rest for number, *rest in views()}
    for number in range(41):
        pose, jpeg, depth = known.get(number, (np.eye(4), b"not decoded", np.zeros(DEPTH_SIZE[::-1], np.uint16)))
        packed = zlib.compress(depth.tobytes())
        content += pose.astype("<f4").tobytes() + struct.pack("<4Q", 5, 6, len(jpeg), len(packed)) + jpeg + packed
    return content + struct.pack("<Q", 0)


def write_scene(root: Path, scene: str = SCENE, frames: bool = True) -> Path:
    folder = root / "scans" / scene
    folder.mkdir(parents=True)
    xyz, thing = things()
    pose = world_from_room()
    world = xyz @ pose[:3, :3].T + pose[:3, 3]
    color = np.random.default_rng(2).integers(0, 256, (len(xyz), 3))
    label = np.array([nyu for nyu, *_ in THINGS])[thing]
    segment = 1000 * thing + np.arange(len(thing)) // 20  # ids with gaps, three segments per object
    segments = [sorted(set(segment[thing == k].tolist())) for k in range(len(THINGS))]
    groups = [
        {"id": k, "objectId": k, "segments": segments[k], "label": raw}
        for k, (_, raw, *_) in enumerate(THINGS)
        if k != 3
    ]
    alignment = " ".join(f"{value:.6f}" for value in np.linalg.inv(pose).ravel())
    files: dict[str, Any] = {
        "_vh_clean_2.ply": ply(world, color),
        "_vh_clean_2.labels.ply": ply(world, color, label),
        "_vh_clean_2.0.010000.segs.json": json.dumps({"segIndices": segment.tolist()}).encode(),
        ".aggregation.json": json.dumps({"segGroups": groups}).encode(),
        ".txt": f"axisAlignment = {alignment} \ncolorHeight = 48\nsceneType = Office\n".encode(),
    }
    for ending, content in files.items():
        (folder / f"{scene}{ending}").write_bytes(content)
    if frames:
        write_exported(folder)
    return folder


def read(root: Path, step: int = 10) -> RawFrame:
    """Read the room, and pair its points with its cameras as preparation does."""
    reader = ScanNetReader(root, step)
    raw = reader.source(reader.frames(None)[0]).read()
    for camera in raw.cameras.values():
        camera.pairs(raw.points[:, :3])
    return raw
