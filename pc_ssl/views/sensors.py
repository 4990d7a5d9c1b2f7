"""One augmented view of all sensors of a frame: points, images and annotations, transformed consistently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.geometry import BevGrid
from pc_ssl.structures import BevMap, Camera, CameraViews, PixelPairs, Scene, SensorSample
from pc_ssl.views.camera import ImageAugmentation, move_pixels
from pc_ssl.views.lidar import Augmentation, move_points


@dataclass(frozen=True)
class SensorViews:
    """Turns a scene into one view.

    Args:
        augmentation: of the points; None: no augmentation.
        images: size and augmentation of the images; None reads no cameras.
        train: False: no randomness; points are not augmented, and images are cropped as by `ImageAugmentation.still`.
        boxes: whether to give the boxes.
        bev_map: whether to give the map.
        label: whether to give the class of each point.
        pairs: whether to give the point-pixel pairs.
        superpixel: name of the superpixel generator to read.
        pseudo_label: name of the generator of pseudo labels to read.

    Raises:
        ValueError: pairs, superpixel or pseudo_label without `images`.
    """

    augmentation: Augmentation | None = None
    images: ImageAugmentation | None = None
    train: bool = True
    boxes: bool = False
    bev_map: bool = False
    label: bool = False
    pairs: bool = False
    superpixel: str | None = None
    pseudo_label: str | None = None

    def __post_init__(self) -> None:
        if self.images is None and (self.pairs or self.superpixel or self.pseudo_label):
            raise ValueError("SensorViews: pairs, superpixel and pseudo_label need `images`")

    def still(self) -> SensorViews:
        """The view without augmentation."""
        return replace(self, train=False)

    @property
    def reads(self) -> frozenset[str]:
        wanted = {
            "label": self.label,
            "boxes": self.boxes,
            "bev_map": self.bev_map,
            "cameras": self.images is not None,
            "pairs": self.pairs,
            f"superpixel/{self.superpixel}": self.superpixel,
            f"pseudo_label/{self.pseudo_label}": self.pseudo_label,
        }
        return frozenset(name for name, asked in wanted.items() if asked)

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = ()) -> SensorSample:
        """One view of the scene, whose points keep their order.

        Raises:
            UserError: `images` is set, and the frame has no images.
        """
        view_from_lidar = np.eye(4)
        if self.train and self.augmentation is not None:
            view_from_lidar = self.augmentation.draw(rng)
        view = torch.from_numpy(view_from_lidar)
        cameras, pairs = self._cameras(scene, view_from_lidar, rng)
        return SensorSample(
            token=scene.token,
            points=move_points(scene.points, view_from_lidar),
            view_from_lidar=view,
            region=scene.region.long(),
            num_regions=scene.num_regions,
            label=None if scene.label is None else scene.label.long(),
            cameras=cameras,
            pairs=pairs,
            boxes=None if scene.boxes is None else scene.boxes.moved(view),
            bev_map=None if scene.bev_map is None else moved_map(scene.bev_map, scene.bev_map_reach, view_from_lidar),
            sweep=scene.sweep() if self.pairs else None,  # sorting all points is worth it for methods of pairs alone
        )

    def _cameras(
        self, scene: Scene, view_from_lidar: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[CameraViews | None, PixelPairs | None]:
        if self.images is None:
            return None, None
        images, matrices, pairs = self.images, [], []
        superpixels: list[Tensor] = []
        num_superpixels = 0
        for number, camera in enumerate(scene.cameras):
            size = (camera.image.shape[2], camera.image.shape[1])
            view_from_pixel = images.draw(size, rng) if self.train else images.still(size)
            matrices.append(view_from_pixel)
            if self.pairs:
                pairs.append(_pairs(images, camera, number, view_from_pixel))
            if camera.superpixel is not None:
                ids = images.label_map(camera.superpixel, view_from_pixel, -1)
                superpixels.append(torch.where(ids < 0, -1, ids + num_superpixels))
                num_superpixels += int(camera.superpixel.max()) + 1
        if not scene.cameras:
            raise UserError(f"{scene.token}: the frame has no images; it has points only")
        lidar_from_view = torch.from_numpy(np.linalg.inv(view_from_lidar))
        moved = list(zip(scene.cameras, matrices, strict=True))
        views = CameraViews(
            image=torch.stack([images.image(camera, matrix) for camera, matrix in moved]),
            pixel_from_camera=torch.stack([_times(matrix, camera.pixel_from_camera) for camera, matrix in moved]),
            camera_from_view=torch.stack([_times(camera.camera_from_lidar, lidar_from_view) for camera, _ in moved]),
            present=torch.ones(len(moved), dtype=torch.bool),
            superpixel=torch.stack(superpixels) if superpixels else None,
            pseudo_label=_moved_labels(images, scene.cameras, matrices),
        )
        return views, PixelPairs(*(torch.cat(parts) for parts in zip(*pairs, strict=True))) if pairs else None


def moved_map(mask: Tensor, reach: float, view_from_lidar: NDArray[np.float64]) -> BevMap:
    """The map [K, H, W] over +-reach metres, resampled to the same cells in the view's frame (nearest neighbour)."""
    rows, columns = mask.shape[1:]
    y, x = torch.meshgrid(_centres(rows, reach), _centres(columns, reach), indexing="ij")
    lidar_from_view = torch.from_numpy(np.linalg.inv(view_from_lidar))
    place = torch.stack([x, y], dim=-1) @ lidar_from_view[:2, :2].T + lidar_from_view[:2, 3]
    index = ((place + reach) * place.new_tensor([columns, rows]) / (2 * reach)).floor().long()
    known = ((index >= 0) & (index < index.new_tensor([columns, rows]))).all(dim=-1)
    column, row = index[..., 0].clamp(0, columns - 1), index[..., 1].clamp(0, rows - 1)
    return BevMap(mask[:, row, column] & known, known)


def _centres(cells: int, reach: float) -> Tensor:
    return (torch.arange(cells, dtype=torch.float64) + 0.5) * (2 * reach / cells) - reach


def _pairs(
    images: ImageAugmentation, camera: Camera, number: int, view_from_pixel: NDArray[np.float64]
) -> tuple[Tensor, Tensor, Tensor]:
    pixel = move_pixels(view_from_pixel, camera.pixel)
    inside = images.contains(pixel)
    point = camera.point[inside]
    return point, torch.full_like(point, number), pixel[inside]


def _times(second: Tensor | NDArray[np.float64], first: Tensor) -> Tensor:
    """float32, computed in float64."""
    return (torch.as_tensor(second).double() @ first.double()).float()


def _moved_labels(
    images: ImageAugmentation, cameras: tuple[Camera, ...], matrices: list[NDArray[np.float64]]
) -> Tensor | None:
    moved = [
        images.label_map(camera.pseudo_label, matrix, 0)
        for camera, matrix in zip(cameras, matrices, strict=True)
        if camera.pseudo_label is not None
    ]
    return torch.stack(moved) if moved else None
