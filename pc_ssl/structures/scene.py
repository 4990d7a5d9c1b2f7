"""One keyframe as read from the cache."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pc_ssl.structures.boxes import Boxes3D
from pc_ssl.structures.cameras import Camera

TIME = "time"  # the column of the seconds from a point's sweep to the keyframe's, as caches name it


@dataclass(frozen=True)
class Scene:
    """One keyframe on the CPU.

    Args:
        token: the frame's name in its data set.
        points: [N, 3 + F] float32: x, y, z in metres in the LiDAR frame (room frame indoors), then features.
        region: [N] int32: region of each point in 0..num_regions - 1; -1 means none.
        num_regions: number of regions R.
        keyframe: [N] bool, whether each point belongs to the keyframe rather than to an earlier sweep that was merged
            into it; None: all of them do.
        columns: names of the 3 + F columns of `points`, "x", "y", "z" first; empty: unknown.
        label: [N] uint8 class of each point, 0 means ignore; None: not available or not requested.
        boxes: in the LiDAR frame; None: not available or not requested.
        cameras: those of the frame; empty if there are none or they are not requested.
        visible: for each image of the frame, rows [P] int64 of the points that are seen in it; None: not requested.
        bev_map: [K, H, W] bool, map classes seen from above in the LiDAR frame; row 0 has the lowest y, column 0 the
            lowest x; None: not available or not requested.
        bev_map_reach: `bev_map` covers -reach..reach along x and y, metres.
        ground: [N] bool, whether each point is on the ground; None: not requested.
        global_from_lidar: [4, 4] float64 pose of the LiDAR; None: not requested.
        neighbour: another keyframe of the same drive; None: not available or not requested.

    Raises:
        ValueError: lengths disagree.
    """

    token: str
    points: Tensor
    region: Tensor
    num_regions: int
    label: Tensor | None = None
    boxes: Boxes3D | None = None
    cameras: tuple[Camera, ...] = ()
    bev_map: Tensor | None = None
    bev_map_reach: float = 0.0
    ground: Tensor | None = None
    global_from_lidar: Tensor | None = None
    neighbour: Scene | None = None
    keyframe: Tensor = field(default=None)  # type: ignore[assignment]
    columns: tuple[str, ...] = ()
    visible: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        if self.keyframe is None:
            object.__setattr__(self, "keyframe", torch.ones(len(self.points), dtype=torch.bool))
        of_points = {"region": self.region, "label": self.label, "ground": self.ground, "keyframe": self.keyframe}
        for name, value in of_points.items():
            if value is not None and value.shape != (len(self.points),):
                raise ValueError(f"{self.token}: {name} must be [{len(self.points)}], got {tuple(value.shape)}")
        if self.columns and len(self.columns) != self.points.shape[1]:
            raise ValueError(f"{self.token}: {self.points.shape[1]} columns of points are named {self.columns}")

    def sweep(self) -> Tensor:
        """[N] int64: 0 for points of the keyframe, then 1, 2, ... for those of earlier sweeps, the latest first.

        Raises:
            ValueError: the scene holds earlier sweeps, and no column of its points is called "time".
        """
        if bool(self.keyframe.all()):
            return torch.zeros(len(self.points), dtype=torch.long)
        if TIME not in self.columns:
            raise ValueError(f"{self.token}: earlier sweeps need a column {TIME!r}, found {', '.join(self.columns)}")
        lag = self.points[:, self.columns.index(TIME)].clone()
        lag[self.keyframe] = -torch.inf
        return torch.unique(lag, return_inverse=True)[1] + int(not self.keyframe.any())

    def keep(self, kept: Tensor) -> Scene:
        """The scene with only the points of the mask [N], in order, and only their pixels.

        Boxes, maps, the numbers of regions and the neighbour do not change.
        """
        row = kept.long().cumsum(0) - 1

        def of_camera(camera: Camera) -> Camera:
            seen = kept[camera.point]
            return replace(camera, pixel=camera.pixel[seen], point=row[camera.point[seen]])

        return replace(
            self,
            points=self.points[kept],
            region=self.region[kept],
            label=None if self.label is None else self.label[kept],
            ground=None if self.ground is None else self.ground[kept],
            keyframe=self.keyframe[kept],
            cameras=tuple(of_camera(camera) for camera in self.cameras),
            visible=None if self.visible is None else tuple(row[rows[kept[rows]]] for rows in self.visible),
        )
