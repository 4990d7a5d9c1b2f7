import numpy as np
import pytest
import torch

from pc_ssl.data.thinning import DropCuboid, OneImage, PointLimit
from pc_ssl.errors import UserError
from pc_ssl.structures import Camera, Scene


def scene_of(count: int = 100, cameras: int = 2) -> Scene:
    """Points on a line of 1 m each; camera k sees every (k + 1)-th point at u = its number."""
    x = torch.arange(count, dtype=torch.float32)
    points = torch.stack([x, torch.zeros(count), torch.zeros(count), x / count], dim=1)
    seen = [torch.arange(0, count, k + 1) for k in range(cameras)]
    return Scene(
        token="a",
        points=points,
        region=torch.arange(count, dtype=torch.int32),
        num_regions=count,
        cameras=tuple(
            Camera(
                name=f"c{k}",
                image=torch.zeros(3, 4, 4, dtype=torch.uint8),
                pixel_from_camera=torch.eye(3),
                camera_from_lidar=torch.eye(4),
                pixel=torch.stack([rows.float(), rows.float()], dim=1),
                point=rows,
            )
            for k, rows in enumerate(seen)
        ),
    )


def assert_consistent(scene: Scene) -> None:
    """The pixel of each pair still belongs to its point."""
    for camera in scene.cameras:
        torch.testing.assert_close(scene.points[camera.point, 0], camera.pixel[:, 0])
    assert torch.equal(scene.region.float(), scene.points[:, 0])


@pytest.mark.parametrize("seed", range(5))
def test_a_cuboid_is_a_gap_of_at_most_a_fifth_of_the_extent(seed: int) -> None:
    y = torch.linspace(0, 1, 100)
    whole = scene_of()
    whole.points[:, 1], whole.points[:, 2] = y, y
    found = DropCuboid(min_pairs=0)(whole, np.random.default_rng(seed))
    removed = sorted(set(range(100)) - set(found.points[:, 0].int().tolist()))
    assert 1 <= len(removed) <= 20
    assert removed == list(range(removed[0], removed[-1] + 1))
    assert_consistent(found)


def test_an_image_keeps_its_points() -> None:
    whole = scene_of()
    assert DropCuboid(min_pairs=51)(whole, np.random.default_rng(0)) is whole  # the second camera has 50


def test_a_limit_draws_points_and_does_not_change_smaller_scenes() -> None:
    whole = scene_of()
    found = PointLimit(30)(whole, np.random.default_rng(0))
    assert len(found.points) == 30
    assert_consistent(found)
    assert PointLimit(100)(whole, np.random.default_rng(0)) is whole
    draws = [PointLimit(50)(whole, np.random.default_rng(seed)).points[:, 0] for seed in range(200)]
    share = torch.zeros(100).index_add_(0, torch.cat(draws).long(), torch.ones(200 * 50)) / 200
    assert 0.3 < share.min() <= share.max() < 0.7


def test_one_image_is_drawn_of_all() -> None:
    names = {OneImage()(scene_of(), np.random.default_rng(seed)).cameras[0].name for seed in range(20)}
    assert names == {"c0", "c1"}
    assert len(OneImage()(scene_of(), np.random.default_rng(0)).cameras) == 1
    with pytest.raises(UserError, match="no images"):
        OneImage()(scene_of(cameras=0), np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [lambda: DropCuboid(largest=0.0), lambda: PointLimit(0)])
def test_values_out_of_range_are_rejected(wrong) -> None:
    with pytest.raises(ValueError, match="expected"):
        wrong()
