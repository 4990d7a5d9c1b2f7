"""ScanNet's RGB-D frames, exported by its tools or in the original `.sens` file.

Exported: color/N.jpg, depth/N.png (16 bits, millimetres), pose/N.txt ([4, 4] world from camera), and intrinsics in
intrinsic/intrinsic_color.txt (SensReader) or intrinsics_color.txt (scannet_frames_25k), the same for depth. Colour and
depth share the pose, as in all of ScanNet's tools. A pose of infinities or zeros marks a frame in which tracking was
lost. A view that is lost, damaged or without a depth image is left out and counted; the room is kept.

Depth is decoded only when a view is paired with points, as the decoded views of a room may exceed the memory.
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
MOST_DEPTH_PIXELS = 2_100_000  # 1920 x 1080; ScanNet's are 640 x 480
OFF_CENTRE = 0.25  # of an image's size; largest distance of a principal point from the image centre


@dataclass(frozen=True)
class RgbdFrame:
    """One RGB-D view.

    Args:
        number: frame number in the recording.
        color: content of the JPEG or PNG file.
        size: its width and height in pixels.
        intrinsic: [3, 3] float64 of the colour image.
        depth_size: width and height of the depth image in pixels.
        read_depth: decodes it, [H, W] uint16 millimetres, 0 where not measured; raises UserError if it is damaged.
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
    """RGB-D views of one room.

    Args:
        views: the valid views, in order.
        left_out: reason -> number of views.
    """

    views: tuple[RgbdFrame, ...]
    left_out: Mapping[str, int]


LOST = "views in which tracking was lost"
DAMAGED = "views that are damaged or incomplete"
CUT_OFF = "views after the end of a cut-off .sens file"


def read_exported(folder: Path, step: int) -> RgbdFrames:
    """The exported frames of a scene whose number is a multiple of `step`, in order.

    Raises:
        UserError: intrinsics are missing, damaged or of images of another size, or a file name is not a number.
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
    """Whether a pose of 16 numbers marks lost tracking: infinities, or a zero rotation."""
    matrix = np.asarray(pose, np.float64)
    return bool(np.isinf(matrix).any()) or (matrix.size == 16 and not matrix.reshape(4, 4)[:3, :3].any())


def _number(path: Path) -> int:
    if not (path.stem.isascii() and path.stem.isdecimal() and len(path.stem) < 12):
        raise UserError(f"{path}: the name is not a frame number, expected for example 120.jpg")
    return int(path.stem)


def _intrinsic(folder: Path, kind: str) -> NDArray[np.float64]:
    path = folder / "intrinsic" / f"intrinsic_{kind}.txt"
    if not path.is_file():
        path = folder / f"intrinsics_{kind}.txt"
    return pinhole(path, "the matrix", read_matrix(path))


def _depth_size(path: Path, content: bytes) -> tuple[int, int]:
    """Width and height from the file's header.

    Raises:
        UserError: it is not a PNG image of one channel of 16 bits, or is too large.
    """
    with _depth_image(path, content) as image:
        return image.size


def _decode_depth(path: Path, content: bytes) -> NDArray[np.uint16]:
    """[H, W] millimetres. Raises UserError: as `_depth_size`, or the pixels are damaged."""
    with _depth_image(path, content) as image:
        return np.asarray(image).astype(np.uint16)


@contextlib.contextmanager
def _depth_image(path: Path, content: bytes) -> Iterator[Image]:
    """The opened file; its pixels are decoded on access."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_DEPTH_PIXELS or not image.mode.startswith("I"):
                raise UserError(
                    f"{path}: {image.width}x{image.height} of mode {image.mode}, expected one channel of 16 bits "
                    f"and at most {MOST_DEPTH_PIXELS} pixels"
                )
            yield image
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be decoded as a PNG image ({' '.join(str(error).split())})") from None


def _check_centres(path: Path, frame: RgbdFrame) -> None:
    """Check that the intrinsics match the image size, a common mistake with resized images."""
    for kind, intrinsic, size in (
        ("colour", frame.intrinsic, frame.size),
        ("depth", frame.depth_intrinsic, frame.depth_size),
    ):
        if (np.abs(intrinsic[:2, 2] / size - 0.5) > OFF_CENTRE).any():
            raise UserError(
                f"{path}: frame {frame.number}: the {kind} image has {size[0]}x{size[1]} pixels, but the principal "
                f"point is {intrinsic[0, 2]:.1f}, {intrinsic[1, 2]:.1f}; are the intrinsics of another image size?"
            )


# The .sens format, version 4: ScanNet's SensReader/python/SensorData.py and SensReader/c++/sensorData.h.
_VERSION = 4
_COLOR_KINDS = {1: "PNG", 2: "JPEG"}
_RAW_DEPTH, _ZLIB_DEPTH = 0, 1
_HEADER = struct.Struct("<64f2i4IfQ")  # four matrices; kinds of colour, depth; sizes; depth units per metre; frames
_FRAME = struct.Struct("<16f4Q")  # world from camera; time of colour, of depth; bytes of colour, of depth
_LONGEST_NAME = 4096
_MOST_IMAGE_BYTES = 64_000_000


@dataclass(frozen=True)
class _Sensor:
    """Fields of the header that are needed to decode frames."""

    color_format: str
    depth_kind: int
    depth_size: tuple[int, int]
    depth_units: float
    intrinsic: NDArray[np.float64]
    depth_intrinsic: NDArray[np.float64]
    frames: int


def read_sens(path: Path, step: int) -> RgbdFrames:
    """The frames of a `.sens` file whose number is a multiple of `step`; the others are skipped.

    Raises:
        UserError: the file is missing, its header is damaged, or its version or compression is not supported.
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
        if len(header) < _FRAME.size or end > size:  # a damaged length hides the start of the next frame
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
    """The frame whose images are next in the file; None if tracking was lost.

    Raises:
        UserError: it is damaged.
    """
    if _is_lost(pose):
        return None
    what = path / f"frame {number}"
    if max(lengths) > _MOST_IMAGE_BYTES:
        raise UserError(
            f"{what}: has images of {lengths[0]} + {lengths[1]} bytes, expected at most {_MOST_IMAGE_BYTES}"
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
        raise UserError(f"{path}: version {version}, sensor name of {length} bytes; expected a .sens file of version 4")
    _take(path, file, length)
    values = _HEADER.unpack(_take(path, file, _HEADER.size))
    matrix = np.array(values[:64]).reshape(4, 4, 4)  # colour: intrinsic, extrinsic; depth: intrinsic, extrinsic
    color_kind, depth_kind, _, _, width, height, units, frames = values[64:]
    if color_kind not in _COLOR_KINDS or depth_kind not in (_RAW_DEPTH, _ZLIB_DEPTH):
        raise UserError(f"{path}: unsupported compression of colour ({color_kind}) or depth ({depth_kind})")
    if not 0 < width * height <= MOST_DEPTH_PIXELS or not 1 <= units <= 1e6:
        raise UserError(
            f"{path}: depth images of {width}x{height} pixels with {units:g} units per metre, expected at most "
            f"{MOST_DEPTH_PIXELS} pixels and 1 to 1e6 units per metre"
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
        raise UserError(f"{path}: ends within a frame or the header; the file is cut off: download it again")
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
