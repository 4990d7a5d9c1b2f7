"""Augmented images with consistent geometry: the affine transform of the pixels also updates the intrinsic matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pc_ssl.structures import Camera

# Of ImageNet, which image backbones are trained on; red, green, blue in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageAugmentation:
    """Random resize, crop, flip and rotation of an image to one size.

    The defaults are BEVFusion's for images of 1600 x 900, which CALICO's prototype uses too: resize 0.38 to 0.55,
    crop to 704 x 256, rotation of +-5.4 degrees, flip. A range of one value makes that step deterministic.

    Args:
        width: of the result, pixels.
        height: of the result, pixels.
        resize: the factor is uniform in this range.
        bottom_crop: share of the resized image's height below the crop, uniform in this range; 0 keeps the lower edge.
        evaluation_resize: the factor without augmentation; None: the middle of `resize`.
        rotation: the angle is uniform in +-rotation, radians, about the centre.
        flip: probability of mirroring left and right.

    Raises:
        ValueError: an argument is out of range.
    """

    width: int = 704
    height: int = 256
    resize: tuple[float, float] = (0.38, 0.55)
    bottom_crop: tuple[float, float] = (0.0, 0.0)
    rotation: float = math.radians(5.4)
    flip: float = 0.5
    evaluation_resize: float | None = None

    def __post_init__(self) -> None:
        if self.evaluation_resize is not None and self.evaluation_resize <= 0:
            raise ValueError(f"ImageAugmentation: evaluation_resize is {self.evaluation_resize}, expected more than 0")
        if self.width < 1 or self.height < 1 or not 0 < self.resize[0] <= self.resize[1]:
            raise ValueError(
                f"ImageAugmentation: width {self.width}, height {self.height}, resize {self.resize}: out of range"
            )
        if not 0 <= self.bottom_crop[0] <= self.bottom_crop[1] <= 1 or not 0 <= self.flip <= 1 or self.rotation < 0:
            raise ValueError(
                f"ImageAugmentation: bottom_crop {self.bottom_crop}, rotation {self.rotation}, flip {self.flip}: "
                "out of range"
            )

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
        """[3, 3] float64 `view_from_pixel` for images of `size` (width, height), pixels from edge to edge.

        The crop is uniform between the left and the right edge; pixels outside the image are black.
        """
        factor = rng.uniform(*self.resize)
        left = rng.uniform(0, 1) * (size[0] * factor - self.width)
        top = (1 - rng.uniform(*self.bottom_crop)) * size[1] * factor - self.height
        crop = np.array([[factor, 0, -left], [0, factor, -top], [0, 0, 1]])
        return self._turned(rng.random() < self.flip, rng.uniform(-self.rotation, self.rotation)) @ crop

    def still(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """`view_from_pixel` without randomness: `evaluation_resize`, the crop in the middle, no flip."""
        factor = sum(self.resize) / 2 if self.evaluation_resize is None else self.evaluation_resize
        left = (size[0] * factor - self.width) / 2
        top = (1 - sum(self.bottom_crop) / 2) * size[1] * factor - self.height
        return np.array([[factor, 0, -left], [0, factor, -top], [0, 0, 1]])

    def _turned(self, mirrored: bool, angle: float) -> NDArray[np.float64]:
        mirror = np.array([[-1.0, 0, self.width], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = self.width / 2, self.height / 2
        turn = np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])
        return turn @ mirror

    def image(self, camera: Camera, view_from_pixel: NDArray[np.float64]) -> Tensor:
        """[3, height, width] float32, normalised with ImageNet's mean and deviation; black beyond the image."""
        import cv2  # here, so that views of points alone need no OpenCV

        rgb = np.ascontiguousarray(camera.image.permute(1, 2, 0).numpy())
        rgb, view_from_rgb = _shrunk(rgb, view_from_pixel)
        warped = cv2.warpAffine(rgb, _about_centres(view_from_rgb)[:2], (self.width, self.height))
        values = torch.from_numpy(warped).permute(2, 0, 1).float() / 255
        return (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]

    def label_map(self, ids: Tensor, view_from_pixel: NDArray[np.float64], outside: int) -> Tensor:
        """[height, width] int64: the ids [H, W] transformed with their image, `outside` beyond its edges."""
        import cv2

        warped = cv2.warpAffine(
            ids.numpy().astype(np.float32),  # exact up to 2 ** 24
            _about_centres(view_from_pixel)[:2],
            (self.width, self.height),
            flags=cv2.INTER_NEAREST,
            borderValue=(float(outside),),
        )
        return torch.from_numpy(warped).long()

    def contains(self, pixel: Tensor) -> Tensor:
        """[P] bool: whether u, v [P, 2] are inside the augmented image."""
        return (pixel >= 0).all(dim=1) & (pixel[:, 0] < self.width) & (pixel[:, 1] < self.height)


def move_pixels(view_from_pixel: NDArray[np.float64], pixel: Tensor) -> Tensor:
    """u, v [P, 2] float32 moved by an affine matrix [3, 3], computed in float64."""
    matrix = torch.from_numpy(view_from_pixel)
    return (pixel.double() @ matrix[:2, :2].T + matrix[:2, 2]).to(pixel.dtype)


def _shrunk(rgb: NDArray[np.uint8], view_from_pixel: NDArray[np.float64]) -> tuple[NDArray, NDArray[np.float64]]:
    """The image averaged over areas if the view is clearly smaller, against aliasing, and its matrix."""
    scale = math.sqrt(abs(np.linalg.det(view_from_pixel[:2, :2])))
    height, width = rgb.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale > 0.7:
        return rgb, view_from_pixel
    import cv2

    shrunk = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return shrunk, view_from_pixel @ np.diag([width / size[0], height / size[1], 1.0])


def _about_centres(view_from_pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same matrix for coordinates that are 0 at the centre of the first pixel, as in OpenCV."""
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(half) @ view_from_pixel @ half
