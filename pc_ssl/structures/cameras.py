"""Images of one frame with their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """One camera of one keyframe, as read from the cache.

    Pixel coordinates run from 0 at the left (upper) edge of an image to its width (height) at the right (lower) edge:
    pixel (u, v) belongs to column floor(u) and row floor(v).

    Args:
        name: such as CAM_FRONT.
        image: [3, H, W] uint8, red, green, blue.
        pixel_from_camera: [3, 3] float32 intrinsic matrix; camera frame: x right, y down, z forward.
        camera_from_lidar: [4, 4] float32.
        pixel: [P, 2] float32 u, v at which a point projects.
        point: [P] int64 row of the scene's `points` that projects there.
        superpixel: [H, W] int32, 0..S - 1, -1 none; None: not requested.
        pseudo_label: [H, W] uint8 class of each pixel, 0 ignore; None: not requested.

    Raises:
        ValueError: the shapes disagree.
    """

    name: str
    image: Tensor
    pixel_from_camera: Tensor
    camera_from_lidar: Tensor
    pixel: Tensor
    point: Tensor
    superpixel: Tensor | None = None
    pseudo_label: Tensor | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[0] != 3:
            raise ValueError(f"{self.name}: image must be [3, H, W], got {list(self.image.shape)}")
        for name in ("superpixel", "pseudo_label"):
            value = getattr(self, name)
            if value is not None and value.shape != self.image.shape[1:]:
                raise ValueError(f"{self.name}: {name} is {list(value.shape)}, the image {list(self.image.shape[1:])}")
        if self.pixel.shape != (len(self.point), 2):
            raise ValueError(f"{self.name}: pixel {list(self.pixel.shape)} for {len(self.point)} points")


@dataclass(frozen=True)
class CameraViews:
    """The K images of one view of one frame, all of the same size.

    Args:
        image: [K, 3, H, W] float32, normalised for the image backbone; zeros for a missing camera.
        pixel_from_camera: [K, 3, 3] float32: intrinsic matrix of the augmented image.
        camera_from_view: [K, 4, 4] float32: from the frame of the view's points, augmentation included (it may scale
            and mirror), to the camera.
        present: [K] bool: False for a camera that is missing.
        superpixel: [K, H, W] int64, unique over the cameras, -1 none; None: not requested.
        pseudo_label: [K, H, W] int64 class, 0 ignore; None: not requested.

    Raises:
        ValueError: the shapes disagree.
    """

    image: Tensor
    pixel_from_camera: Tensor
    camera_from_view: Tensor
    present: Tensor
    superpixel: Tensor | None = None
    pseudo_label: Tensor | None = None

    def __post_init__(self) -> None:
        cameras, (height, width) = self.image.shape[0], self.image.shape[-2:]
        expected = {
            "image": (cameras, 3, height, width),
            "pixel_from_camera": (cameras, 3, 3),
            "camera_from_view": (cameras, 4, 4),
            "present": (cameras,),
            "superpixel": (cameras, height, width),
            "pseudo_label": (cameras, height, width),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"CameraViews: {name} must be {list(shape)}, got {list(value.shape)}")


@dataclass(frozen=True)
class CameraBatch:
    """The images of B frames: `CameraViews` with a leading B.

    Args:
        image: [B, K, 3, H, W] float32.
        pixel_from_camera: [B, K, 3, 3] float32.
        camera_from_view: [B, K, 4, 4] float32.
        present: [B, K] bool.
        superpixel: [B, K, H, W] int64, unique over the batch, -1 none.
        pseudo_label: [B, K, H, W] int64.
        num_superpixels: S of all frames together; 0 without superpixels.
    """

    image: Tensor
    pixel_from_camera: Tensor
    camera_from_view: Tensor
    present: Tensor
    superpixel: Tensor | None = None
    pseudo_label: Tensor | None = None
    num_superpixels: int = 0

    @classmethod
    def pack(cls, views: Sequence[CameraViews]) -> CameraBatch:
        """Stack the cameras of several frames; frames with fewer cameras are padded with missing ones.

        Raises:
            ValueError: the images differ in size, or only some frames have superpixels or pseudo labels.
        """
        sizes = {tuple(view.image.shape[2:]) for view in views}
        if len(sizes) != 1:
            raise ValueError(f"CameraBatch: images of different sizes (rows, columns): {sorted(sizes)}")
        most = max(len(view.image) for view in views)
        superpixel, num_superpixels = None, 0
        if _all_have([view.superpixel for view in views], "superpixel"):
            shifted = []
            for view in views:
                ids = view.superpixel
                assert ids is not None
                shifted.append(torch.where(ids < 0, -1, ids + num_superpixels))
                num_superpixels += int(ids.max()) + 1 if ids.numel() else 0
            superpixel = torch.stack([_filled(ids, most, -1) for ids in shifted])
        pseudo_label = None
        if _all_have([view.pseudo_label for view in views], "pseudo_label"):
            pseudo_label = torch.stack([_filled(v.pseudo_label, most, 0) for v in views if v.pseudo_label is not None])
        return cls(
            image=torch.stack([_filled(view.image, most, 0.0) for view in views]),
            pixel_from_camera=torch.stack([_filled_with_identity(view.pixel_from_camera, most) for view in views]),
            camera_from_view=torch.stack([_filled_with_identity(view.camera_from_view, most) for view in views]),
            present=torch.stack([_filled(view.present, most, False) for view in views]),
            superpixel=superpixel,
            pseudo_label=pseudo_label,
            num_superpixels=num_superpixels,
        )

    @property
    def num_frames(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> CameraBatch:
        return CameraBatch(
            self.image.to(device),
            self.pixel_from_camera.to(device),
            self.camera_from_view.to(device),
            self.present.to(device),
            None if self.superpixel is None else self.superpixel.to(device),
            None if self.pseudo_label is None else self.pseudo_label.to(device),
            self.num_superpixels,
        )


def _all_have(values: Sequence[Tensor | None], name: str) -> bool:
    given = sum(value is not None for value in values)
    if given not in (0, len(values)):
        raise ValueError(f"CameraBatch: {given} of {len(values)} frames have {name}")
    return given > 0


def _filled(value: Tensor, length: int, fill: float | bool) -> Tensor:
    missing = value.new_full((length - len(value), *value.shape[1:]), fill)
    return torch.cat([value, missing])


def _filled_with_identity(value: Tensor, length: int) -> Tensor:
    identity = torch.eye(value.shape[-1], dtype=value.dtype).expand(length - len(value), -1, -1)
    return torch.cat([value, identity])
