"""The segmentation task: what is trained on, what is left out, what is predicted."""

import pytest
import torch
from torch import nn

from pc_ssl.errors import UserError
from pc_ssl.heads.segmentation import SegmentationTask, majority_label
from pc_ssl.models.features import PointFeatures
from pc_ssl.structures import PointBatch, SegmentationBatch, SegmentationSample


class Pointwise(nn.Module):
    """A backbone that looks at one point at a time."""

    out_channels = 6

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, points: PointBatch) -> PointFeatures:
        return PointFeatures(self.linear(points.xyz).relu())


def task(**arguments: object) -> SegmentationTask:
    torch.manual_seed(0)
    return SegmentationTask(Pointwise(), view=lambda scene, rng: None, num_classes=4, **arguments)


def batch(label: list[int]) -> SegmentationBatch:
    points = torch.randn(len(label), 3, generator=torch.Generator().manual_seed(1))
    half = len(label) // 2
    labels = torch.tensor(label, dtype=torch.uint8)
    return SegmentationTask.collate(
        [
            SegmentationSample("a", points[:half], labels[:half]),
            SegmentationSample("b", points[half:], labels[half:]),
        ]
    )


def test_loss_is_cross_entropy_plus_lovasz_over_labelled_points() -> None:
    model, data = task(), batch([1, 0, 3, 2, 2, 0])
    terms = model(data)
    kept = torch.tensor([0, 2, 3, 4])
    logits = model.head(model.backbone(data.points).feature)[kept]
    expected = -logits.log_softmax(dim=1)[torch.arange(4), torch.tensor([0, 2, 1, 1])].mean()
    torch.testing.assert_close(terms["cross_entropy"], expected.detach())
    torch.testing.assert_close(terms["loss"].detach(), terms["cross_entropy"] + terms["lovasz"])
    assert 0 <= terms["lovasz"] <= 1


def test_ignored_points_change_nothing() -> None:
    model = task()
    data = batch([1, 0, 3, 2, 2, 0])
    moved = data.points.points.clone()
    moved[data.label == 0] += 100
    other = SegmentationBatch(data.tokens, PointBatch(moved, data.points.offsets), data.label)
    assert torch.equal(model(data)["loss"], model(other)["loss"])


def test_class_weights_enter_the_cross_entropy() -> None:
    data = batch([1, 1, 1, 2, 1, 1])
    model, plain = task(class_weight=[1.0, 10.0, 1.0]), task()
    log_probability = plain.logits(data.points).detach().log_softmax(dim=1)
    picked = -log_probability[torch.arange(6), data.label - 1]
    weight = torch.tensor([1.0, 10.0, 1.0])[data.label - 1]
    torch.testing.assert_close(model(data)["cross_entropy"], (picked * weight).sum() / weight.sum())


def test_wrong_number_of_class_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="class_weight must have 3 values, got 4"):
        task(class_weight=[1.0] * 4)


def test_a_batch_without_labels_gives_a_connected_zero() -> None:
    model = task()
    terms = model(batch([0, 0, 0, 0]))
    terms["loss"].backward()
    assert terms["loss"].item() == 0.0
    assert model.backbone.linear.weight.grad is not None


def test_every_term_but_the_loss_is_detached_and_scalar() -> None:
    terms = task()(batch([1, 0, 3, 2]))
    assert all(value.ndim == 0 for value in terms.values())
    assert [name for name, value in terms.items() if value.requires_grad] == ["loss"]


def test_ignore_is_never_predicted() -> None:
    model, data = task().eval(), batch([1, 0, 3, 2, 2, 0])
    prediction = torch.cat(model.predict(data))
    assert prediction.shape == (6,)
    assert torch.equal(prediction, model.logits(data.points).argmax(dim=1) + 1)
    assert set(prediction.tolist()) <= {1, 2, 3}


def test_training_learns_a_separable_cloud() -> None:
    model = task()
    data = batch([1, 2, 3, 1] * 16)
    label = 1 + (data.points.xyz[:, 0] > 0).long() + (data.points.xyz[:, 0] > 1).long()
    data = SegmentationBatch(data.tokens, data.points, label)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        model(data)["loss"].backward()
        optimizer.step()
    assert float(model(data)["accuracy"]) > 0.9


def test_the_saved_state_is_backbone_and_head_alone() -> None:
    assert {key.split(".")[0] for key in task(class_weight=[1.0, 2.0, 3.0]).state_dict()} == {"backbone", "head"}


class Voxelwise(Pointwise):
    """A backbone with a feature for each of three voxels, that of their first points."""

    def forward(self, points: PointBatch) -> PointFeatures:
        return PointFeatures(self.linear(points.xyz[:3]).relu(), torch.tensor([0, 1, 2, 1, 1, -1]))


def voxel_task(supervision: str) -> SegmentationTask:
    torch.manual_seed(0)
    return SegmentationTask(Voxelwise(), view=lambda scene, rng: None, num_classes=4, supervision=supervision)


@pytest.mark.parametrize(
    ("supervision", "classes"), [("voxel_majority", [1, 2, 0]), ("voxel_first", [1, 3, 0]), ("points", None)]
)
def test_voxels_are_trained_on_their_most_frequent_or_first_label(supervision: str, classes: list[int] | None) -> None:
    model, data = voxel_task(supervision), batch([1, 3, 0, 2, 2, 3])
    terms = model(data)
    if classes is None:
        label, logits = data.label, model.logits(data.points)
    else:
        label, logits = torch.tensor(classes), model.head(model.backbone(data.points).feature)
    kept = label != 0
    expected = nn.functional.cross_entropy(logits[kept], label[kept] - 1)
    torch.testing.assert_close(terms["cross_entropy"], expected.detach())
    terms["loss"].backward()
    assert model.backbone.linear.weight.grad.abs().sum() > 0
    assert torch.cat(model.predict(data)).shape == (6,)  # predictions are of points


def test_the_most_frequent_class_is_counted_by_hand() -> None:
    voxel = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, -1, -1])
    label = torch.tensor([0, 0, 0, 5, 5, 4, 2, 0, 0, 1, 1])
    assert majority_label(label, voxel, 4).tolist() == [5, 2, 0, 0]  # voxel 1 is a tie, 2 not labelled, 3 empty
    assert majority_label(torch.zeros(3).long(), torch.tensor([0, 1, 1]), 2).tolist() == [0, 0]


def test_voxels_of_a_backbone_without_voxels_are_refused() -> None:
    with pytest.raises(UserError, match=r"voxel_majority.*Pointwise"):
        task(supervision="voxel_majority")(batch([1, 0, 3, 2]))
    with pytest.raises(ValueError, match="supervision is 'voxels'"):
        task(supervision="voxels")
