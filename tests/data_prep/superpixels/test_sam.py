from pathlib import Path

import numpy as np
import pytest
import torch

from data_prep.superpixels import image_generator, sam
from data_prep.superpixels.sam import SamSuperpixels, boxes_of, non_maximum_suppression, stability
from pc_ssl.errors import UserError


def picture(height: int = 45, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("model", ["sam_folder", "sam2_folder"])
def test_superpixels_are_numbered_without_gaps_and_the_same_each_time(
    model: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    segments = SamSuperpixels(str(folder), points_per_side=6, least_iou=-100.0, least_stability=0.0, most_overlap=1.0)
    label = segments(picture(), "a")
    assert (label.shape, label.dtype) == ((45, 80), np.int32)
    assert label.max() >= 1
    assert np.unique(label[label >= 0]).tolist() == list(range(label.max() + 1))
    assert np.array_equal(label, segments(picture(), "b"))


def test_without_confident_masks_all_pixels_are_unlabelled(sam_folder: Path) -> None:
    assert (SamSuperpixels(str(sam_folder), points_per_side=2, least_iou=100.0)(picture(), "any") == -1).all()


class FakeModel:
    """Returns three masks for each point: the quadrant of the input that contains it, the whole input, and none."""

    device = torch.device("cpu")

    def __init__(self, side: int) -> None:
        from types import SimpleNamespace

        self.side, self.answer = side, SimpleNamespace
        self.config = SimpleNamespace(prompt_encoder_config=SimpleNamespace(image_size=side))

    def get_image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape == (1, 3, self.side, self.side)
        return pixels

    def __call__(
        self, image_embeddings: torch.Tensor, input_points: torch.Tensor, input_labels: torch.Tensor
    ) -> object:
        small = self.side // 4
        half = small // 2
        masks = torch.full((1, len(input_points[0]), 3, small, small), -8.0)
        for mask, (x, y) in zip(masks[0], input_points[0, :, 0], strict=True):
            row, column = int(y >= self.side / 2) * half, int(x >= self.side / 2) * half
            mask[0, row : row + half, column : column + half] = 8.0
            mask[1] = 8.0
        scores = torch.tensor([0.9, 0.95, 0.1]).expand(1, masks.shape[1], 3)
        return self.answer(pred_masks=masks, iou_scores=scores)


def test_small_masks_are_above_large_ones_and_duplicates_are_removed(
    sam_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam, "load_model", lambda folder, name: FakeModel(64))
    label = SamSuperpixels(str(sam_folder), points_per_side=8)(picture(64, 64), "any")
    quadrants = label[:32, :32], label[:32, 32:], label[32:, :32], label[32:, 32:]
    most = [np.bincount(quadrant.ravel()).argmax() for quadrant in quadrants]
    assert len(set(most)) == 4
    for number, quadrant in zip(most, quadrants, strict=True):
        assert (quadrant == number).mean() > 0.99  # the large mask is visible at most where the corners meet
    wide = SamSuperpixels(str(sam_folder), points_per_side=8)(picture(32, 64), "any")
    left, right = wide[16, 10], wide[16, 50]  # the image covers the two upper quadrants of the input
    assert left != right
    assert (wide[:, :32] == left).mean() > 0.99
    assert (wide[:, 32:] == right).mean() > 0.99


def test_stability_is_the_iou_at_two_thresholds() -> None:
    mask = torch.tensor([[[2.0, 0.5, -0.5, -2.0]], [[2.0, 2.0, 2.0, -2.0]], [[-2.0, -2.0, -2.0, -2.0]]])
    assert stability(mask).tolist() == pytest.approx([1 / 3, 1.0, 0.0])


def test_boxes_enclose_masks() -> None:
    mask = torch.zeros((2, 5, 6), dtype=torch.bool)
    mask[0, 1:4, 2] = mask[0, 2, 2:6] = True
    assert boxes_of(mask).tolist() == [[2, 1, 6, 4], [0, 0, 0, 0]]


def test_of_overlapping_boxes_the_best_is_kept() -> None:
    box = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 30]], dtype=torch.float32)
    assert sorted(non_maximum_suppression(box, torch.tensor([0.5, 0.9, 0.8, 0.1]), 0.7).tolist()) == [1, 2, 3]
    assert non_maximum_suppression(box, torch.tensor([0.9, 0.5, 0.8, 0.1]), 0.4).tolist() == [0, 3]
    assert non_maximum_suppression(box[:0], torch.zeros(0), 0.7).tolist() == []


def test_sam_is_selected_by_its_folder(sam_folder: Path, clip_folder: Path) -> None:
    name, segments = image_generator(f"sam:{sam_folder}", ())
    assert (name, segments) == ("sam", SamSuperpixels(str(sam_folder)))
    with pytest.raises(UserError, match="'model_type' is 'clip', expected sam or sam2"):
        image_generator(f"sam:{clip_folder}", ())
