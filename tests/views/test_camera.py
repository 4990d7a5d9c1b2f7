import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pc_ssl.structures import Camera
from pc_ssl.views.camera import MEAN, STD, ImageAugmentation, move_pixels


def camera_with_spot(u: int, v: int, width: int = 160, height: int = 90, radius: int = 3) -> Camera:
    """A black image with a white square centred at (u + 0.5, v + 0.5)."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, v - radius : v + radius + 1, u - radius : u + radius + 1] = 255
    nothing = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    return Camera("CAM", image, torch.eye(3), torch.eye(4), *nothing)


def brightness(view: torch.Tensor) -> torch.Tensor:
    return (view * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]).mean(0)


@given(
    u=st.integers(40, 120), v=st.integers(30, 60), seed=st.integers(0, 2**32 - 1),
    resize=st.sampled_from([(0.4, 0.5), (0.9, 1.1), (1.5, 2.0)]),
)  # fmt: skip
def test_what_an_image_shows_moves_as_the_matrix_says(u: int, v: int, seed: int, resize: tuple[float, float]) -> None:
    width, height = round(150 * resize[0]), round(80 * resize[0])
    augmentation = ImageAugmentation(width, height, resize, rotation=math.radians(10), bottom_crop=(0.0, 0.1))
    camera = camera_with_spot(u, v)
    view_from_pixel = augmentation.draw((160, 90), np.random.default_rng(seed))
    expected = move_pixels(view_from_pixel, torch.tensor([[u + 0.5, v + 0.5]]))[0]
    light = brightness(augmentation.image(camera, view_from_pixel)).clamp(min=0)
    light = torch.where(light > 0.2, light, 0)
    if bool(((expected < 8) | (expected > torch.tensor([width, height]) - 8)).any()):
        return  # the spot is cut, or outside
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    found = torch.stack([(light * columns).sum(), (light * rows).sum()]) / light.sum()
    torch.testing.assert_close(found, expected, atol=0.25, rtol=0)


def test_label_maps_move_with_their_image() -> None:
    augmentation = ImageAugmentation(80, 45, (0.5, 0.5), rotation=0.0, flip=1.0)
    view_from_pixel = augmentation.draw((160, 90), np.random.default_rng(0))
    ids = torch.arange(160).expand(90, 160).int() // 2
    moved = augmentation.label_map(ids, view_from_pixel, -1)
    assert moved.tolist() == [list(range(79, -1, -1))] * 45


def test_beyond_the_image_labels_are_outside() -> None:
    augmentation = ImageAugmentation(100, 100, (1.0, 1.0), rotation=0.0, flip=0.0)
    moved = augmentation.label_map(torch.zeros(50, 100).int(), augmentation.still((100, 50)), -1)
    assert (moved[:50] == -1).all()
    assert (moved[50:] == 0).all()


def test_without_randomness_the_crop_is_the_lower_middle() -> None:
    augmentation = ImageAugmentation(60, 40, (0.4, 0.6), bottom_crop=(0.0, 0.2))
    pixel = move_pixels(augmentation.still((200, 100)), torch.tensor([[100.0, 100 - 10.0]]))
    torch.testing.assert_close(pixel, torch.tensor([[30.0, 40.0]]))


def test_pixels_on_the_lower_edge_are_outside() -> None:
    inside = ImageAugmentation(60, 40).contains(torch.tensor([[0.0, 0.0], [59.9, 39.9], [60.0, 1.0], [1.0, -0.1]]))
    assert inside.tolist() == [True, True, False, False]


@pytest.mark.parametrize("wrong", [{"resize": (0.5, 0.4)}, {"flip": 2.0}, {"width": 0}, {"bottom_crop": (0.5, 1.5)}])
def test_values_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ImageAugmentation(**wrong)


def test_images_are_evaluated_at_a_scale_of_their_own() -> None:
    """BEVFusion: 0.48 of 1600 x 900, cut to 704 x 256 at the middle of the lower edge."""
    published = ImageAugmentation(resize=(0.38, 0.55), evaluation_resize=0.48)
    expected = np.array([[0.48, 0, -(1600 * 0.48 - 704) / 2], [0, 0.48, -(900 * 0.48 - 256)], [0, 0, 1]])
    np.testing.assert_allclose(published.still((1600, 900)), expected)
    assert ImageAugmentation(resize=(0.38, 0.55)).still((1600, 900))[0, 0] == pytest.approx(0.465)
    with pytest.raises(ValueError, match="evaluation_resize is 0"):
        ImageAugmentation(evaluation_resize=0.0)
