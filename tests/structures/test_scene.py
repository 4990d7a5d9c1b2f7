import pytest
import torch

from pc_ssl.structures import Camera, Scene


def scene() -> Scene:
    camera = Camera(
        name="front",
        image=torch.zeros(3, 4, 4, dtype=torch.uint8),
        pixel_from_camera=torch.eye(3),
        camera_from_lidar=torch.eye(4),
        pixel=torch.tensor([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5]]),
        point=torch.tensor([4, 0, 2]),
    )
    return Scene(
        "frame", torch.arange(20.0).reshape(5, 4), torch.tensor([0, 1, -1, 1, 0], dtype=torch.int32), 2,
        label=torch.tensor([1, 2, 3, 4, 5], dtype=torch.uint8), cameras=(camera,),
        ground=torch.tensor([True, False, True, False, False]),
        keyframe=torch.tensor([True, True, False, False, True]), columns=("x", "y", "z", "intensity"),
    )  # fmt: skip


def test_all_that_belongs_to_points_is_kept_with_them() -> None:
    found = scene().keep(torch.tensor([False, True, True, False, True]))
    assert found.points[:, 0].tolist() == [4.0, 8.0, 16.0]
    assert found.region.tolist() == [1, -1, 0]
    assert found.label.tolist() == [2, 3, 5]
    assert found.ground.tolist() == [False, True, False]
    assert found.keyframe.tolist() == [True, False, True]
    assert found.cameras[0].point.tolist() == [2, 1]  # the points of rows 4 and 2 are rows 2 and 1 now
    assert found.cameras[0].pixel[:, 0].tolist() == [0.5, 2.5]
    assert (found.num_regions, found.columns) == (2, scene().columns)


def test_without_sweeps_all_points_are_of_the_keyframe() -> None:
    assert Scene("frame", torch.zeros(3, 4), torch.zeros(3, dtype=torch.int32), 1).keyframe.tolist() == [True] * 3


@pytest.mark.parametrize("wrong", [{"keyframe": torch.ones(2).bool()}, {"columns": ("x", "y", "z")}])
def test_what_does_not_fit_the_points_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if "keyframe" in wrong else "columns"):
        Scene("frame", torch.zeros(3, 4), torch.zeros(3, dtype=torch.int32), 1, **wrong)
