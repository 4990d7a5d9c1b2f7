"""A recording of a cache for the Rerun viewer: points, regions, boxes and cameras over the frames of one scene.

    rerun report.rrd

Needs the rerun-sdk package, an optional extra.
"""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.cache import Cache, Frame
from pc_ssl.errors import UserError
from pc_ssl.files import whole_file
from pc_ssl.report.palette import GROUND, class_colors, region_colors

APPLICATION = "pc_ssl"
TIMELINE = "frame"
HEIGHTS = (-3.0, 3.0)  # metres: colours run from the lower to the higher one
IMAGE_PLANE_M = 2.0  # where the viewer draws images in front of their cameras
MISSING = "rerun-sdk is not installed, so no recording was saved; pip install 'pc-ssl[rerun]'"


def viewer_sdk() -> ModuleType | None:
    """The rerun package; None where it is not installed.

    Raises:
        UserError: it is installed, but cannot be imported.
    """
    try:
        import rerun
    except ImportError as error:
        if error.name == "rerun":
            return None
        raise UserError(f"rerun-sdk: is installed but cannot be imported ({error})") from error
    return rerun


def save_recording(cache: Cache, path: Path, sdk: ModuleType) -> None:
    """Record the frames of the scene that the cache begins with, one step of the timeline "frame" each.

    Everything is in the LiDAR frame: "lidar/height" and "lidar/region/GENERATOR" are the points coloured in two ways
        (grey
    where a point is ground or in no region), "lidar/boxes" the boxes, "lidar/CAMERA" the cameras with their images.

    Args:
        cache: holds a frame.
        path: the .rrd file, written atomically.
        sdk: the rerun package.

    Raises:
        UserError: the file cannot be written, or a frame is damaged.
    """
    scene = cache.frames[0].scene
    names = cache.manifest.classes.get("box", ())
    with whole_file(path) as partial:
        recording = sdk.RecordingStream(APPLICATION)
        recording.save(partial)
        recording.log("lidar", sdk.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for row in range(len(cache)):
            if cache.frames[row].scene == scene:
                recording.set_time(TIMELINE, sequence=row)
                for name, content in _entities(cache[row], names, sdk).items():
                    recording.log(name, *content)
        recording.flush()
        recording.disconnect()


def _entities(frame: Frame, box_names: Any, sdk: ModuleType) -> dict[str, tuple[Any, ...]]:
    """The recorded data of a frame: the viewer's archetypes by entity path."""
    xyz, ground = frame["points"].numpy()[:, :3], frame["ground"].numpy()
    found: dict[str, tuple[Any, ...]] = {"lidar/height": (sdk.Points3D(xyz, colors=_height_colors(xyz[:, 2])),)}
    cameras = []
    for key in frame.keys():  # noqa: SIM118
        kind, _, name = key.partition("/")
        if kind == "region":
            colors = np.where(ground[:, None], np.array(GROUND), region_colors(frame[key].numpy()))
            found[f"lidar/region/{name}"] = (sdk.Points3D(xyz, colors=_bytes(colors)),)
        elif kind == "image":
            cameras.append(name)
    if "box" in frame:
        found["lidar/boxes"] = (_boxes(frame, box_names, sdk),)
    for name in cameras:
        found |= _camera(frame, name, sdk)
    return found


def _boxes(frame: Frame, names: Any, sdk: ModuleType) -> Any:
    box, kind = frame["box"].numpy(), frame["box_class"].numpy()
    half = box[:, 6] / 2
    turn = np.stack([np.zeros_like(half), np.zeros_like(half), np.sin(half), np.cos(half)], axis=1)  # x y z w
    return sdk.Boxes3D(
        centers=box[:, :3],
        half_sizes=box[:, 3:6] / 2,
        quaternions=turn,
        colors=_bytes(class_colors(names)[kind]),
        labels=[names[index] for index in kind],
        show_labels=False,
    )


def _camera(frame: Frame, name: str, sdk: ModuleType) -> dict[str, tuple[Any, ...]]:
    """A camera's pose and intrinsic matrix, with its image as a child entity."""
    from PIL import Image

    lidar_from_camera = np.linalg.inv(frame[f"camera_from_lidar/{name}"].numpy().astype(np.float64))
    content = frame[f"image/{name}"].numpy().tobytes()
    image = Image.open(io.BytesIO(content))
    place = sdk.Transform3D(translation=lidar_from_camera[:3, 3], mat3x3=lidar_from_camera[:3, :3])
    pinhole = sdk.Pinhole(
        image_from_camera=frame[f"intrinsic/{name}"].numpy(),
        resolution=image.size,
        camera_xyz=sdk.ViewCoordinates.RDF,
        image_plane_distance=IMAGE_PLANE_M,
    )
    shown = sdk.EncodedImage(contents=content, media_type=Image.MIME[image.format or ""])
    return {f"lidar/{name}": (place, pinhole), f"lidar/{name}/image": (shown,)}


def _height_colors(z: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, 3]: from blue (low) to yellow (high)."""
    from matplotlib import colormaps

    low, high = HEIGHTS
    return _bytes(colormaps["viridis"](np.clip((z - low) / (high - low), 0, 1))[:, :3])


def _bytes(color: NDArray) -> NDArray[np.uint8]:
    return np.round(255 * color).astype(np.uint8)
