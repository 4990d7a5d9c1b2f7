"""Writes a scanned room in ScanNet's file formats."""

from __future__ import annotations

import colorsys
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.regions.graph import mesh_segments
from data_prep.scannet_names import NYU40
from data_prep.scannet_source import ScenePaths
from data_prep.simulate.indoor.categories import NYU40_OF_CATEGORY
from data_prep.simulate.indoor.room import Room
from data_prep.simulate.indoor.scan import Camera, RgbdImage, Scan
from pc_ssl.files import write_bytes
from pc_ssl.geometry import apply, invert

JPEG_QUALITY = 92


def write_mesh(paths: ScenePaths, room: Room, scan: Scan, world_from_room: NDArray[np.float64]) -> None:
    """Write the mesh, its labels, its segments, and the segments of each object."""
    nyu40 = np.array([NYU40_OF_CATEGORY[piece.category] for piece in room.pieces] + [0], np.uint16)
    label = nyu40[scan.piece]  # the last entry is for vertices of piece -1
    world = apply(world_from_room, scan.vertex)
    write_bytes(paths.mesh, _ply(world, scan.color, scan.triangle, None))
    write_bytes(paths.labels, _ply(world, _palette()[label], scan.triangle, label))
    segment, piece_of_segment = object_segments(scan)
    name = paths.folder.name
    write_bytes(
        paths.segments,
        _json({"params": {"kThresh": "0.01", "segMinVerts": "20"}, "sceneId": name, "segIndices": segment.tolist()}),
    )
    groups = [
        {"id": number, "objectId": number, "segments": np.flatnonzero(piece_of_segment == row).tolist()}
        | {"label": room.pieces[row].category}
        for number, row in enumerate(np.unique(scan.piece[scan.piece >= 0]).tolist())
    ]
    write_bytes(
        paths.aggregation,
        _json({"sceneId": f"scannet.{name}", "segGroups": groups, "segmentsFile": f"scannet.{paths.segments.name}"}),
    )


def object_segments(scan: Scan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Segment 0..S - 1 of each vertex [V], and the piece of each segment [S], -1 for none.

    Segments are those of ScanNet's segmentator, split where one covers more than one piece.
    """
    pair = np.column_stack([mesh_segments(scan.vertex, scan.triangle), scan.piece])
    unique, segment = np.unique(pair, axis=0, return_inverse=True)
    return segment.reshape(-1), unique[:, 1].astype(np.int64)


def write_frame(folder: Path, number: int, image: RgbdImage, world_from_room: NDArray[np.float64]) -> None:
    """Write one exported frame."""
    write_bytes(folder / "color" / f"{number}.jpg", _encoded(image.color, "JPEG"))
    write_bytes(folder / "depth" / f"{number}.png", _encoded(image.depth, "PNG"))
    write_bytes(folder / "pose" / f"{number}.txt", _matrix(world_from_room @ image.room_from_camera))


def write_intrinsics(folder: Path, camera: Camera) -> None:
    """Write the intrinsics of colour and depth, which are equal."""
    matrix = np.eye(4)
    matrix[:3, :3] = camera.intrinsic
    for kind in ("color", "depth"):
        write_bytes(folder / "intrinsic" / f"intrinsic_{kind}.txt", _matrix(matrix))
        write_bytes(folder / "intrinsic" / f"extrinsic_{kind}.txt", _matrix(np.eye(4)))


def write_description(
    paths: ScenePaths, room: Room, camera: Camera, frames: int, world_from_room: NDArray[np.float64]
) -> None:
    """Write the scene's .txt."""
    alignment = " ".join(f"{value:.6f}" for value in invert(world_from_room).ravel())
    (width, height), k = camera.size, camera.intrinsic
    lines = {"axisAlignment": f"{alignment} "}
    for kind in ("color", "depth"):
        lines |= {f"{kind}Height": str(height), f"{kind}Width": str(width)}
        lines |= {f"fx_{kind}": f"{k[0, 0]:.6f}", f"fy_{kind}": f"{k[1, 1]:.6f}"}
        lines |= {f"mx_{kind}": f"{k[0, 2]:.6f}", f"my_{kind}": f"{k[1, 2]:.6f}"}
    lines |= {"numColorFrames": str(frames), "numDepthFrames": str(frames), "sceneType": room.kind}
    write_bytes(paths.description, "".join(f"{key} = {value}\n" for key, value in lines.items()).encode())


def label_table() -> bytes:
    """scannetv2-labels.combined.tsv, reduced to the columns that map raw categories to NYU40."""
    rows = [("id", "raw_category", "category", "nyu40id", "nyu40class")]
    rows += [
        (str(number), name, name, str(nyu40), NYU40[nyu40])
        for number, (name, nyu40) in enumerate(NYU40_OF_CATEGORY.items(), 1)
    ]
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def _ply(
    vertex: NDArray[np.float64],
    color: NDArray[np.uint8],
    triangle: NDArray[np.int32],
    label: NDArray[np.uint16] | None,
) -> bytes:
    fields: list[Any] = [("xyz", "<f4", 3), ("rgba", "u1", 4)]
    names = [*(("float", axis) for axis in "xyz"), *(("uchar", name) for name in ("red", "green", "blue", "alpha"))]
    if label is not None:
        fields.append(("label", "<u2"))
        names.append(("ushort", "label"))
    row = np.zeros(len(vertex), fields)
    row["xyz"], row["rgba"][:, :3], row["rgba"][:, 3] = vertex, color, 255
    if label is not None:
        row["label"] = label
    face = np.zeros(len(triangle), [("count", "u1"), ("corner", "<i4", 3)])
    face["count"], face["corner"] = 3, triangle
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(row)}"]
    header += [f"property {kind} {name}" for kind, name in names]
    header += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + row.tobytes() + face.tobytes()


def _palette() -> NDArray[np.uint8]:
    """[41, 3] colour of each NYU40 class, black for unlabelled."""
    colors = [colorsys.hsv_to_rgb(0.618034 * index % 1, 0.65, 0.95) for index in range(1, len(NYU40))]
    return (255 * np.array([(0, 0, 0), *colors])).astype(np.uint8)


def _encoded(pixels: NDArray, kind: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"quality": JPEG_QUALITY} if kind == "JPEG" else {}))
    return stream.getvalue()


def _matrix(matrix: NDArray[np.float64]) -> bytes:
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in matrix).encode()


def _json(content: Any) -> bytes:
    """JSON without spaces, as in ScanNet."""
    return json.dumps(content, separators=(",", ":")).encode()
