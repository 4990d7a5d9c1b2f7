"""ScanNet's RGB-D frames: as its own tools export them, and in the `.sens` file that they come in.

Exported: color/N.jpg, depth/N.png (16 bits, millimetres), pose/N.txt ([4, 4] world from camera), and intrinsics in
intrinsic/intrinsic_color.txt (SensReader) or intrinsics_color.txt (scannet_frames_25k), the same for depth. Colour and
depth share the pose, as all of ScanNet's tools take it. A pose of infinities or of zeros stands for a frame in which
tracking was lost. A view that is lost, damaged or without its depth image is left out and counted; the room stays.

Depth stays packed until a view is paired with the points: decoded, the views of one room may fill the memory.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_prep.images import check_image
from data_prep.poses import pinhole, read_matrix, read_numbers, rigid
from pc_ssl.errors import UserError
from pc_ssl.files import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

MILLIMETRES = 1000.0
MOST_DEPTH_PIXELS = 2_100_000  # 1920 x 1080; ScanNet's own are 640 x 480
OFF_CENTRE = 0.25  # of an image's size; a principal point farther from its middle belongs to an image of another size


@dataclass(frozen=True)
class RgbdFrame:
    """One view.

    Args:
        number: of the frame in the recording.
        color: the JPEG or PNG file.
        size: its width and height in pixels.
        intrinsic: [3, 3] float64 of the colour image.
        depth_size: width and height of the depth image in pixels.
        read_depth: decodes it, [H, W] uint16 millimetres, 0 where nothing was measured; UserError if it is damaged.
        depth_intrinsic: [3, 3] float64 of the depth image.
        world_from_camera: [4, 4] float64; camera: x right, y down, z forward.
    """

    number: int
    color: bytes
    size: tuple[int, int]
    intrinsic: NDArray[np.float64]
    depth_size: tuple[int, int]
    read_depth: Callable[[], NDArray[np.uint16]]
    depth_intrinsic: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]


@dataclass(frozen=True)
class RgbdFrames:
    """Views of one room.

    Args:
        views: those that can be used, in order.
        left_out: reason -> number of views.
    """

    views: tuple[RgbdFrame, ...]
    left_out: Mapping[str, int]


LOST = "views in which tracking was lost"
DAMAGED = "views that are damaged or lack a file"
CUT_OFF = "views behind the place where a .sens file is cut off"


def read_exported(folder: Path, step: int) -> RgbdFrames:
    """The exported frames of a scene whose number is a multiple of `step`, in order.

    Raises:
        UserError: intrinsics are missing or damaged or belong to images of another size, or a file name is no number.
    """
    names = [path for path in (folder / "color").iterdir() if path.suffix.lower() in (".jpg", ".png")]
    chosen = sorted((_number(path), path) for path in names)
    intrinsics = _intrinsic(folder, "color"), _intrinsic(folder, "depth")
    views, left_out = [], Counter[str]()
    for number, path in chosen:
        if number % step:
            continue
        try:
            view = _read_view(folder, number, path, *intrinsics)
        except UserError:
            left_out[DAMAGED] += 1
            continue
        if view is None:
            left_out[LOST] += 1
        else:
            _check_centres(folder, view)
            views.append(view)
    return RgbdFrames(tuple(views), left_out)


def _read_view(folder: Path, number: int, path: Path, intrinsic: NDArray, depth_intrinsic: NDArray) -> RgbdFrame | None:
    """One exported frame; None if tracking was lost.

    Raises:
        UserError: a file is missing or damaged.
    """
    pose_path = folder / "pose" / f"{path.stem}.txt"
    pose = np.array([value for row in read_numbers(pose_path) for value in row])
    if _is_lost(pose):
        return None
    color = read_bytes(path)
    depth_path = folder / "depth" / f"{path.stem}.png"
    depth = read_bytes(depth_path)
    return RgbdFrame(
        number,
        color,
        check_image(path, color),
        intrinsic,
        _depth_size(depth_path, depth),
        partial(_decode_depth, depth_path, depth),
        depth_intrinsic,
        rigid(pose_path, "the pose", pose),
    )


def _is_lost(pose: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a pose of 16 numbers stands for lost tracking: infinities, or no rotation at all."""
    matrix = np.asarray(pose, np.float64)
    return bool(np.isinf(matrix).any()) or (matrix.size == 16 and not matrix.reshape(4, 4)[:3, :3].any())


def _number(path: Path) -> int:
    if not (path.stem.isascii() and path.stem.isdecimal() and len(path.stem) < 12):
        raise UserError(f"{path}: the name of an exported frame is its number, such as 120.jpg")
    return int(path.stem)


def _intrinsic(folder: Path, kind: str) -> NDArray[np.float64]:
    path = folder / "intrinsic" / f"intrinsic_{kind}.txt"
    if not path.is_file():
        path = folder / f"intrinsics_{kind}.txt"
    return pinhole(path, "the matrix", read_matrix(path))


def _depth_size(path: Path, content: bytes) -> tuple[int, int]:
    """Width and height that the file's header says.

    Raises:
        UserError: it is no PNG of one channel of 16 bits, or too large.
    """
    with _depth_image(path, content) as image:
        return image.size


def _decode_depth(path: Path, content: bytes) -> NDArray[np.uint16]:
    """Raises UserError: as `_depth_size`, or the file is damaged further on."""
    with _depth_image(path, content) as image:
        return np.asarray(image).astype(np.uint16)


@contextlib.contextmanager
def _depth_image(path: Path, content: bytes) -> Iterator[Image]:
    """The file, opened; decoded when its pixels are asked for."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_DEPTH_PIXELS or not image.mode.startswith("I"):
                raise UserError(
                    f"{path}: is {image.width}x{image.height} of mode {image.mode}, expected one channel of 16 bits "
                    f"and up to {MOST_DEPTH_PIXELS} pixels"
                )
            yield image
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be decoded as a PNG image ({' '.join(str(error).split())})") from None


def _check_centres(path: Path, frame: RgbdFrame) -> None:
    """Intrinsics of one size with images of another are the usual mistake when images were made smaller."""
    for kind, intrinsic, size in (
        ("colour", frame.intrinsic, frame.size),
        ("depth", frame.depth_intrinsic, frame.depth_size),
    ):
        if (np.abs(intrinsic[:2, 2] / size - 0.5) > OFF_CENTRE).any():
            raise UserError(
                f"{path}: frame {frame.number}: the {kind} image has {size[0]}x{size[1]} pixels, but its intrinsics "
                f"say that the middle is at {intrinsic[0, 2]:.1f}, {intrinsic[1, 2]:.1f}; do they belong together?"
            )


# The .sens format, version 4: ScanNet's SensReader/python/SensorData.py and SensReader/c++/sensorData.h.
_VERSION = 4
_COLOR_KINDS = {1: "PNG", 2: "JPEG"}
_RAW_DEPTH, _ZLIB_DEPTH = 0, 1
_HEADER = struct.Struct("<64f2i4IfQ")  # four matrices; kinds of colour, depth; sizes; depth units a metre; frames
_FRAME = struct.Struct("<16f4Q")  # world from camera; time of colour, of depth; bytes of colour, of depth
_LONGEST_NAME = 4096
_MOST_IMAGE_BYTES = 64_000_000


@dataclass(frozen=True)
class _Sensor:
    """The part of the header that frames are decoded with."""

    color_format: str
    depth_kind: int
    depth_size: tuple[int, int]
    depth_units: float
    intrinsic: NDArray[np.float64]
    depth_intrinsic: NDArray[np.float64]
    frames: int


def read_sens(path: Path, step: int) -> RgbdFrames:
    """The frames of a `.sens` file whose number is a multiple of `step`; the others are skipped over, not read.

    Raises:
        UserError: the file is missing, its header is damaged, or it is of another version or compression.
    """
    try:
        with path.open("rb") as file:
            return _sens_frames(path, file, step)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _sens_frames(path: Path, file: BinaryIO, step: int) -> RgbdFrames:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    sensor = _read_sensor(path, file)
    views, left_out = [], Counter[str]()
    for number in range(sensor.frames):
        header = file.read(_FRAME.size)
        *pose, _, _, color_bytes, depth_bytes = _FRAME.unpack(header.ljust(_FRAME.size, b"\0"))
        end = file.tell() + color_bytes + depth_bytes
        if len(header) < _FRAME.size or end > size:  # lengths beyond the end leave no way to find the next frame
            left_out[CUT_OFF] = len(range(number + -number % step, sensor.frames, step))
            break
        if number % step == 0:
            try:
                view = _sens_view(path, file, sensor, number, pose, (color_bytes, depth_bytes))
            except UserError:
                left_out[DAMAGED] += 1
            else:
                if view is None:
                    left_out[LOST] += 1
                else:
                    _check_centres(path, view)
                    views.append(view)
        file.seek(end)
    return RgbdFrames(tuple(views), +left_out)


def _sens_view(
    path: Path, file: BinaryIO, sensor: _Sensor, number: int, pose: Sequence[float], lengths: tuple[int, int]
) -> RgbdFrame | None:
    """The frame whose images come next in the file; None if tracking was lost.

    Raises:
        UserError: it is damaged.
    """
    if _is_lost(pose):
        return None
    what = path / f"frame {number}"
    if max(lengths) > _MOST_IMAGE_BYTES:
        raise UserError(
            f"{what}: has images of {lengths[0]} + {lengths[1]} bytes, expected {_MOST_IMAGE_BYTES} at most"
        )
    color, packed = (_take(path, file, length) for length in lengths)
    return RgbdFrame(
        number,
        color,
        check_image(what, color, (sensor.color_format,)),
        sensor.intrinsic,
        sensor.depth_size,
        partial(_unpack_depth, what, packed, sensor),
        sensor.depth_intrinsic,
        rigid(what, "the pose", pose),
    )


def _read_sensor(path: Path, file: BinaryIO) -> _Sensor:
    version, length = struct.unpack("<IQ", _take(path, file, 12))
    if version != _VERSION or length > _LONGEST_NAME:
        raise UserError(f"{path}: version {version}, sensor's name of {length} bytes: expected a .sens file, version 4")
    _take(path, file, length)
    values = _HEADER.unpack(_take(path, file, _HEADER.size))
    matrix = np.array(values[:64]).reshape(4, 4, 4)  # colour: intrinsic, extrinsic; depth: intrinsic, extrinsic
    color_kind, depth_kind, _, _, width, height, units, frames = values[64:]
    if color_kind not in _COLOR_KINDS or depth_kind not in (_RAW_DEPTH, _ZLIB_DEPTH):
        raise UserError(f"{path}: colour of kind {color_kind} and depth of kind {depth_kind} cannot be decoded")
    if not 0 < width * height <= MOST_DEPTH_PIXELS or not 1 <= units <= 1e6:
        raise UserError(
            f"{path}: depth images of {width}x{height} pixels with {units:g} units a metre, expected at most "
            f"{MOST_DEPTH_PIXELS} pixels and 1 to 1e6 units a metre"
        )
    return _Sensor(
        _COLOR_KINDS[color_kind],
        depth_kind,
        (width, height),
        units,
        pinhole(path, "the colour intrinsic", matrix[0]),
        pinhole(path, "the depth intrinsic", matrix[2]),
        frames,
    )


def _take(path: Path, file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise UserError(f"{path}: ends in the middle of a frame or of the header; it is cut off: download it again")
    return content


def _unpack_depth(what: Path, packed: bytes, sensor: _Sensor) -> NDArray[np.uint16]:
    width, height = sensor.depth_size
    wanted = 2 * width * height
    raw = packed
    if sensor.depth_kind == _ZLIB_DEPTH:
        try:
            raw = zlib.decompressobj().decompress(packed, wanted + 1)
        except zlib.error as error:
            raise UserError(f"{what}: the depth image cannot be unpacked ({error})") from None
    if len(raw) != wanted:
        raise UserError(f"{what}: the depth image has {len(raw)} bytes or more, expected {wanted}")
    depth = np.frombuffer(raw, "<u2").reshape(height, width)
    if sensor.depth_units == MILLIMETRES:
        return depth
    return np.rint(depth * (MILLIMETRES / sensor.depth_units)).clip(0, 65535).astype(np.uint16)
