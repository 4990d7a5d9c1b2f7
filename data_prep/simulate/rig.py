"""The sensors on the ego vehicle: nuScenes' calibration, timing and LiDAR pattern.

Ego frame: x forward, y left, z up, the origin on the ground under the rear axle. LiDAR frame: x right, y forward, z up.
Camera frame: x right, y down, z forward. Extrinsics and intrinsics are those of one of nuScenes' vehicles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pc_ssl.geometry import transform_from

LIDAR_CHANNEL = "LIDAR_TOP"
NATIVE_SIZE = (1600, 900)  # pixels; width and height of nuScenes' images
KEYFRAME_PERIOD = 0.5  # seconds
ROTATION_PERIOD = 0.05  # seconds; the LiDAR turns at 20 Hz
COLUMNS = 1084  # firings per rotation in nuScenes' files, the default
FIRST_AZIMUTH = np.deg2rad(180.0)  # of the first firing of a rotation, counter-clockwise from x; it turns clockwise
LOWEST, HIGHEST = np.deg2rad(-30.67), np.deg2rad(10.67)  # HDL-32E manual: elevation of the outermost beams
MAX_RANGE = 100.0  # metres; HDL-32E manual


@dataclass(frozen=True)
class Camera:
    """A camera of the rig.

    Args:
        channel: nuScenes' name.
        translation: [3] metres in the ego frame.
        rotation: quaternion (w, x, y, z) of ego_from_camera.
        focal, center: focal length and principal point in pixels of the native image.
        delay: seconds from the exposure to the end of the LiDAR's rotation, which is the keyframe's time; the LiDAR
            sweeps over the camera's axis at that moment.
    """

    channel: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    focal: float
    center: tuple[float, float]
    delay: float

    @cached_property
    def ego_from_camera(self) -> NDArray[np.float64]:
        return transform_from(list(self.rotation), list(self.translation))

    @cached_property
    def heading(self) -> float:
        """Azimuth of the optical axis in the ego frame, radians."""
        x, y = self.ego_from_camera[:2, 2]
        return float(np.arctan2(y, x))

    @cached_property
    def half_view(self) -> float:
        """Half the horizontal angle of view, radians."""
        return float(np.arctan(0.5 * NATIVE_SIZE[0] / self.focal))

    def intrinsic(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """[3, 3] for an image of `image_size` (width, height) pixels."""
        x, y = image_size[0] / NATIVE_SIZE[0], image_size[1] / NATIVE_SIZE[1]
        return np.array(
            [[x * self.focal, 0.0, x * self.center[0]], [0.0, y * self.focal, y * self.center[1]], [0.0, 0.0, 1.0]]
        )


CAMERAS = (  # in the order in which the LiDAR sweeps over them
    Camera(
        "CAM_FRONT_LEFT",
        (1.12354, 0.49827, 1.50692),
        (0.675816, -0.673522, 0.211749, -0.211666),
        1272.598,
        (826.615, 479.752),
        0.0431,
    ),
    Camera(
        "CAM_FRONT",
        (1.37130, 0.01896, 1.50920),
        (-0.500000, 0.502796, -0.499518, 0.497672),
        1266.417,
        (816.267, 491.507),
        0.0355,
    ),
    Camera(
        "CAM_FRONT_RIGHT",
        (1.29475, -0.49113, 1.49437),
        (0.206255, -0.202414, 0.682324, -0.671506),
        1260.847,
        (807.968, 495.334),
        0.0276,
    ),
    Camera(
        "CAM_BACK_RIGHT",
        (0.82901, -0.47888, 1.56111),
        (-0.122632, 0.132640, 0.700394, -0.690519),
        1259.514,
        (807.253, 501.196),
        0.0201,
    ),
    Camera(
        "CAM_BACK",
        (-0.06826, 0.00442, 1.57810),
        (0.503700, -0.497515, -0.494215, 0.504495),
        809.221,
        (829.220, 481.778),
        0.0104,
    ),
    Camera(
        "CAM_BACK_LEFT",
        (1.03069, 0.48494, 1.59093),
        (-0.692415, 0.703164, 0.116491, -0.112031),
        1256.741,
        (792.113, 492.776),
        0.0005,
    ),
)
LIDAR_TRANSLATION = (0.94371, 0.0, 1.84023)  # metres in the ego frame
LIDAR_ROTATION = (0.7077955, -0.0064922, 0.0106462, -0.7063073)  # quaternion of ego_from_lidar


def front_cameras(count: int) -> tuple[Camera, ...]:
    """The `count` cameras whose axes are nearest to straight ahead, the left one first, in the order of CAMERAS."""
    nearest = sorted(CAMERAS, key=lambda camera: (round(abs(camera.heading), 1), -camera.heading))[:count]
    return tuple(camera for camera in CAMERAS if camera in nearest)


def ego_from_lidar() -> NDArray[np.float64]:
    return transform_from(list(LIDAR_ROTATION), list(LIDAR_TRANSLATION))


@dataclass(frozen=True)
class LidarPattern:
    """The rays of one rotation in the order of nuScenes' files: column by column, from the lowest beam up.

    Args:
        direction: [columns * beams, 3] float64 unit vectors in the LiDAR frame.
        ring: [columns * beams] uint8 beam, 0 the lowest.
        lag: [columns * beams] seconds before the end of the rotation.
        sector: [columns * beams] index into CAMERAS of the camera whose moving objects the ray is cast at.
    """

    direction: NDArray[np.float64]
    ring: NDArray[np.uint8]
    lag: NDArray[np.float64]
    sector: NDArray[np.int64]

    @classmethod
    def of(cls, beams: int, columns: int = COLUMNS) -> LidarPattern:
        """`beams` beams, evenly spread over the elevations of an HDL-32E, that fire `columns` times a rotation."""
        azimuth = FIRST_AZIMUTH - 2 * np.pi * np.arange(columns) / columns
        elevation = np.linspace(LOWEST, HIGHEST, beams)
        column, ring = (index.ravel() for index in np.meshgrid(np.arange(columns), np.arange(beams), indexing="ij"))
        level = np.cos(elevation[ring])
        direction = np.stack(
            [level * np.cos(azimuth[column]), level * np.sin(azimuth[column]), np.sin(elevation[ring])], 1
        )
        lag = ROTATION_PERIOD * (1.0 - (column + 1) / columns)
        edge = [0.5 * (a.delay + b.delay) for a, b in pairwise(CAMERAS)]
        sector = (lag[:, None] < np.array(edge)).sum(1)
        return cls(direction, ring.astype(np.uint8), lag, sector)
