"""The rows of benchmarks/prepare.py: each function gives the candidates of one stage, ours first.

A candidate is a function without arguments; what its users prepare once (a point cloud object, a hash grid) is made
outside the clock. A new row is one function here and one line in ROWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import open3d
import pypatchworkpp
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from spconv.pytorch.utils import PointToVoxel

from data_prep.nuscenes import LIDAR, NuScenesReader
from data_prep.nuscenes_source import MOUNT
from data_prep.projection import Occlusion, PinholeCamera, pairs_of_cameras
from data_prep.regions import GROUNDS
from data_prep.regions.grid_dbscan import dbscan
from data_prep.regions.voxels import thinned
from data_prep.stages import MergeStage

Candidates = dict[str, Callable[[], object]]
OURS = "pc_ssl"
MIN_POINTS = 5
VOXEL_RANGE = (-51.2, -51.2, -5.0, 51.2, 51.2, 3.0)  # OpenPCDet's nuScenes setting; PointToVoxel wants a bounded grid
VOXEL_SIZE, VOXEL_Z = 0.1, 0.1
MAX_VOXELS, POINTS_PER_VOXEL = 160_000, 10


@dataclass(frozen=True)
class Cloud:
    """What the stages work on.

    Args:
        name: for the table.
        points: [N, 4] float32 x y z intensity, LiDAR frame.
        root, version, token: where the keyframe comes from, for the devkit.
        cameras: of the keyframe.
    """

    name: str
    points: NDArray[np.float32]
    root: Path
    version: str
    token: str
    cameras: Mapping[str, PinholeCamera]

    @property
    def xyz(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.points[:, :3])

    @property
    def above_ground(self) -> NDArray[np.float32]:
        """[n, 3]: what clusters are cut from."""
        return np.ascontiguousarray(self.xyz[~GROUNDS["strips"](self.xyz, MOUNT)])


def dbscan_rows(cloud: Cloud) -> Iterator[tuple[str, Candidates]]:
    """CALICO's setting in the plane, and in space the setting that is usual for 32 beams."""
    for dimensions, eps in ((2, 0.75), (3, 0.5)):
        xyz = cloud.above_ground
        points = np.ascontiguousarray(xyz[:, :dimensions])
        flat = xyz.astype(np.float64) * ([1, 1, 0] if dimensions == 2 else [1, 1, 1])
        peer_cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(flat))
        ours, sklearn = dbscan(points, eps, MIN_POINTS), DBSCAN(eps=eps, min_samples=MIN_POINTS).fit_predict(points)
        same = "equal to scikit-learn's" if (ours == sklearn).all() else f"{(ours != sklearn).sum()} points differ"
        yield (
            f"DBSCAN {dimensions}D, eps {eps}, {len(points)} points, {ours.max() + 1} clusters, {same}",
            {
                OURS: lambda points=points, eps=eps: dbscan(points, eps, MIN_POINTS),
                "scikit-learn": lambda points=points, eps=eps: DBSCAN(eps=eps, min_samples=MIN_POINTS).fit(points),
                "Open3D": lambda cloud=peer_cloud, eps=eps: cloud.cluster_dbscan(eps, MIN_POINTS),
            },
        )


def ground_rows(cloud: Cloud) -> Iterator[tuple[str, Candidates]]:
    parameters = pypatchworkpp.Parameters()
    parameters.sensor_height, parameters.verbose = 1.84, False
    patchwork = pypatchworkpp.patchworkpp(parameters)
    double = cloud.points.astype(np.float64)
    peer_cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(double[:, :3]))
    xyz = cloud.xyz
    yield (
        f"ground, {len(xyz)} points",
        {
            OURS: lambda: GROUNDS["strips"](xyz, MOUNT),
            "pypatchworkpp": lambda: patchwork.estimateGround(double),
            "Open3D RANSAC 200 trials": lambda: peer_cloud.segment_plane(0.25, 3, 200),
            "Open3D RANSAC 1000 trials": lambda: peer_cloud.segment_plane(0.25, 3, 1000),
        },
    )
    yield (
        f"ground by RANSAC, 200 trials, {len(xyz)} points",
        {OURS: lambda: GROUNDS["ransac"](xyz, MOUNT), "Open3D RANSAC": lambda: peer_cloud.segment_plane(0.25, 3, 200)},
    )


def projection_rows(cloud: Cloud) -> Iterator[tuple[str, Candidates]]:
    """Into all cameras; the devkit's routine gets the points in memory instead of their file."""
    from nuscenes.nuscenes import NuScenes
    from nuscenes.utils.data_classes import LidarPointCloud

    devkit = NuScenes(cloud.version, str(cloud.root), verbose=False)
    data = devkit.get("sample", cloud.token)["data"]
    cameras = [token for channel, token in data.items() if channel.startswith("CAM")]
    columns, xyz = np.ascontiguousarray(cloud.points.T), cloud.xyz

    def with_devkit() -> None:
        with patch.object(LidarPointCloud, "from_file", lambda path: LidarPointCloud(columns.copy())):
            for camera in cameras:
                devkit.explorer.map_pointcloud_to_image(data[LIDAR], camera)

    yield (
        f"projection into {len(cameras)} cameras, {len(xyz)} points",
        {OURS: lambda: pairs_of_cameras(cloud.cameras, xyz), "nuscenes-devkit": with_devkit},
    )
    yield (
        f"projection with a test of occlusion, {len(xyz)} points",
        {OURS: lambda: pairs_of_cameras(cloud.cameras, xyz, Occlusion()), "nuscenes-devkit without": with_devkit},
    )


def voxel_rows(cloud: Cloud) -> Iterator[tuple[str, Candidates]]:
    """Means of x, y, z over the points of each voxel, of the points in spconv's grid."""
    low, high = np.array(VOXEL_RANGE[:3]), np.array(VOXEL_RANGE[3:])
    xyz = cloud.xyz[((cloud.xyz >= low) & (cloud.xyz < high)).all(axis=1)]
    size = [VOXEL_SIZE, VOXEL_SIZE, VOXEL_Z]
    generator = PointToVoxel(size, list(VOXEL_RANGE), 3, MAX_VOXELS, POINTS_PER_VOXEL)
    tensor = torch.from_numpy(xyz)
    peer_cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz.astype(np.float64)))

    def with_spconv() -> torch.Tensor:
        voxels, _, count = generator(tensor)
        return voxels.sum(dim=1) / count[:, None]

    yield (
        f"voxel means, {VOXEL_SIZE} m, {len(xyz)} points, {len(thinned(xyz, VOXEL_SIZE)[0])} voxels",
        {
            OURS: lambda: thinned(xyz, VOXEL_SIZE),
            "spconv PointToVoxel": with_spconv,
            "Open3D": lambda: peer_cloud.voxel_down_sample(VOXEL_SIZE),
        },
    )


ROWS = (dbscan_rows, ground_rows, projection_rows, voxel_rows)


def clouds(root: Path, version: str) -> list[Cloud]:
    """The last keyframe's sweep, and ten sweeps merged: the recorded ones, or where there are none the sweep ten times,
    moved by 0.4 m (8 m/s at 20 Hz) with 2 cm of noise each."""
    raw = {}
    for sweeps in (1, 10):
        reader = NuScenesReader(root, version, sweeps)
        frame = reader.frames(None)[-1]
        raw[sweeps] = MergeStage()(reader.source(frame).read())
    one, ten, name = raw[1].points[:, :4], raw[10].points[:, :4], "ten sweeps"
    if len(ten) == len(one):
        name, noise = "ten copies of the sweep", np.random.default_rng(0).normal(0, 0.02, (10, len(one), 3))
        ten = np.concatenate([one + np.pad(noise[k] - [0, 0.4 * k, 0], ((0, 0), (0, 1))) for k in range(10)])
    cameras = raw[1].cameras
    return [
        Cloud(label, np.ascontiguousarray(points, np.float32), root, version, frame.token, cameras)
        for label, points in (("one sweep", one), (name, ten))
    ]
