import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.camera import lift_splat as module
from pc_ssl.structures import Camera, CameraBatch, Scene
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

GRID = BevGrid((-16.0, -16.0, -5.0), (16.0, 16.0, 3.0), (1.0, 1.0, 8.0))
WIDTH, HEIGHT = 160, 96


def backbone() -> RandomResNet:
    return RandomResNet((8, 12, 16), (1, 1, 1), 8, bottleneck=False, stages=(1, 2, 3))


def branch(grid: BevGrid = GRID, depths: DepthBins | None = None) -> LiftSplat:
    torch.manual_seed(0)
    return LiftSplat(backbone(), grid, depths or DepthBins(1.0, 20.0, 1.0), 16, 6, (8, 8), (1, 1), 4)


def ring(count: int = 6) -> tuple[Camera, ...]:
    """Cameras that look outwards in all directions, a little off the centre."""
    cameras = []
    for number in range(count):
        yaw = 2 * math.pi * number / count
        forward = np.array([math.cos(yaw), math.sin(yaw), 0])
        right, down = np.array([math.sin(yaw), -math.cos(yaw), 0]), np.array([0, 0, -1.0])
        rotation = np.stack([right, down, forward])  # camera_from_lidar
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ (0.3 * forward + np.array([0.1, 0, 0.2]))
        intrinsic = np.array([[90.0, 0, WIDTH / 2], [0, 90, HEIGHT / 2], [0, 0, 1]])
        cameras.append(
            Camera(
                f"CAM_{number}",
                torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8),
                torch.tensor(intrinsic).float(),
                torch.tensor(matrix).float(),
                torch.zeros(0, 2),
                torch.zeros(0, dtype=torch.long),
            )
        )
    return tuple(cameras)


def with_target(camera: Camera, target: Tensor, radius: int = 4) -> Camera:
    """The image with a white square where the target [3], LiDAR frame, is seen."""
    seen = camera.camera_from_lidar[:3, :3] @ target + camera.camera_from_lidar[:3, 3]
    pixel = camera.pixel_from_camera @ seen
    image = camera.image.clone()
    u, v = (pixel[:2] / pixel[2]).round().long().tolist()
    if seen[2] > 1 and 0 <= u < WIDTH and 0 <= v < HEIGHT:
        image[:, max(v - radius, 0) : v + radius, max(u - radius, 0) : u + radius] = 255
    return replace(camera, image=image)


@functools.cache
def fine_branch() -> LiftSplat:
    return branch(depths=DepthBins(1.0, 20.0, 0.25))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), camera=st.integers(0, 5), distance=st.floats(4, 11))
def test_a_rendered_target_lands_in_its_cell(seed: int, camera: int, distance: float) -> None:
    """Bright pixels, with the depth that is right for the target, are splatted: most of them lie where the target is,
    under every augmentation of points and images."""
    rng = np.random.default_rng(seed)
    yaw = 2 * math.pi * camera / 6 + rng.uniform(-0.3, 0.3)
    target = torch.tensor([distance * math.cos(yaw), distance * math.sin(yaw), rng.uniform(-0.5, 0.5)]).float()
    scene = Scene(
        "a", torch.cat([target, torch.zeros(1)])[None], torch.tensor([-1]), 0,
        cameras=tuple(with_target(one, target) for one in ring()),
    )  # fmt: skip
    images = ImageAugmentation(128, 64, (0.7, 0.9), bottom_crop=(0.0, 0.2), rotation=0.1)
    sample = SensorViews(Augmentation(math.pi, (0.8, 1.2), 0.5, 0.5), images)(scene, rng)
    assert sample.cameras is not None
    cameras = CameraBatch.pack([sample.cameras])
    light = cameras.image[0].mean(dim=1)
    light = torch.where(light > 1.0, light, 0)
    size = tuple(light.shape[1:])
    if not bool((light > 0).any()):
        return  # cropped away
    lift = fine_branch()
    place = lift.frustum(cameras, size)[0]  # [K, D, h, w, 3]
    in_view = sample.points[0, :3]
    matrix = cameras.camera_from_view[0]
    depth = (matrix[:, :3, :3] @ in_view + matrix[:, :3, 3])[:, 2]
    nearest = (lift.depth[None] - depth[:, None]).abs().argmin(dim=1)
    at_depth = place[torch.arange(6), nearest]
    found = (at_depth * light[..., None]).sum(dim=(0, 1, 2)) / light.sum()
    seen_whole = float((light > 0).sum()) > 0.8 * 64 * 0.49
    assert float((found - in_view)[:2].norm()) < (0.5 if seen_whole else 1.5)


def slow_pool(lift: LiftSplat, cameras: CameraBatch, depth: Tensor, context: Tensor) -> Tensor:
    width, height, _ = lift.grid.shape
    size = tuple(context.shape[2:])
    place = lift.frustum(cameras, size)
    bev = torch.zeros(cameras.num_frames, context.shape[1], height, width, dtype=context.dtype)
    for b in range(place.shape[0]):
        for k in range(place.shape[1]):
            if not cameras.present[b, k]:
                continue
            n = b * place.shape[1] + k
            for d in range(place.shape[2]):
                for i in range(size[0]):
                    for j in range(size[1]):
                        x, y, z = place[b, k, d, i, j].tolist()
                        column = math.floor((x - lift.grid.lower[0]) / lift.grid.voxel_size[0])
                        row = math.floor((y - lift.grid.lower[1]) / lift.grid.voxel_size[1])
                        if 0 <= column < width and 0 <= row < height and lift.grid.lower[2] <= z < lift.grid.upper[2]:
                            bev[b, :, row, column] += depth[n, d, i, j] * context[n, :, i, j]
    return bev


def batch(frames: int = 2, size: tuple[int, int] = (32, 64)) -> CameraBatch:
    images = ImageAugmentation(size[1], size[0], (0.4, 0.5))
    views = SensorViews(Augmentation(), images)
    points = torch.zeros(1, 4)
    samples = [
        views(Scene("a", points, torch.tensor([-1]), 0, cameras=ring(3)), np.random.default_rng(seed)).cameras
        for seed in range(frames)
    ]
    cameras = CameraBatch.pack([one for one in samples if one is not None])
    generator = torch.Generator().manual_seed(0)
    return replace(cameras, image=torch.randn(cameras.image.shape, generator=generator))


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_pooled_features_are_those_of_a_loop_over_points(
    blocks: bool, train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks:
        monkeypatch.setattr(module, "LIFTED_ELEMENTS", 1000)
    lift, cameras = branch(depths=DepthBins(1.0, 12.0, 2.0)).train(train), batch()
    cameras.present[0, 1] = False
    generator = torch.Generator().manual_seed(1)
    depth = torch.rand(6, len(lift.depth), 4, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    context = torch.randn(6, 6, 4, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    found = lift._pool(depth, context, lift._splat(cameras, (4, 8)), 2)
    expected = slow_pool(lift, cameras, depth, context)
    assert expected.abs().sum() > 1
    torch.testing.assert_close(found, expected)
    seed = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((found * seed).sum(), (depth, context)),
        torch.autograd.grad((expected * seed).sum(), (depth, context)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_calibration_is_planned_once_and_gives_the_same_bits() -> None:
    lift, cameras = branch().eval(), batch()
    first = lift(cameras).map
    assert len(lift._plans) == 1
    kept = next(iter(lift._plans.values()))
    assert torch.equal(lift(cameras).map, first)
    assert next(iter(lift._plans.values())) is kept
    assert torch.equal(branch().eval()(cameras).map, first)


def test_another_calibration_is_another_plan_and_few_are_kept() -> None:
    lift, cameras = branch().eval(), batch()
    first = lift(cameras).map
    turned = replace(cameras, camera_from_view=cameras.camera_from_view.flip(1))
    assert not torch.equal(lift(turned).map, first)
    assert len(lift._plans) == 2
    for shift in range(6):
        moved = cameras.camera_from_view.clone()
        moved[..., 0, 3] += shift + 1
        lift(replace(cameras, camera_from_view=moved))
    assert len(lift._plans) == module.CACHED_PLANS
    assert torch.equal(lift(cameras).map, first)


def test_augmented_training_keeps_no_plans() -> None:
    lift = branch().train()
    lift(batch())
    assert not lift._plans


@pytest.mark.parametrize("train", [False, True])
def test_a_missing_camera_adds_nothing(train: bool) -> None:
    lift, cameras = branch().train(train), batch()
    cameras.present[:, 0] = False
    first = lift(cameras).map
    cameras.image[:, 0] = 1e3
    assert torch.equal(lift(cameras).map, first)


def test_without_any_camera_the_map_is_zero_with_a_graph_and_statistics_stay() -> None:
    lift, cameras = branch(), batch()
    before = {name: value.clone() for name, value in lift.named_buffers()}
    shape = lift(cameras).map.shape
    lift = branch()
    cameras.present[:] = False
    bev = lift(cameras).map
    assert bev.shape == shape
    assert not bev.any()
    bev.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in lift.parameters())
    assert all(torch.equal(value, before[name]) for name, value in lift.named_buffers())


def test_every_parameter_learns_under_bfloat16_too() -> None:
    lift, cameras = branch(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        bev = lift(cameras).map
    bev.float().square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in lift.parameters())


def test_sizes_come_from_the_grid() -> None:
    lift = branch(BevGrid((-16.0, -8.0, -5.0), (16.0, 8.0, 3.0), (1.0, 0.5, 8.0)))
    features = lift(batch())
    assert features.map.shape == (2, lift.out_channels, 32, 32)
    assert lift.out_channels == 8
    with pytest.raises(ValueError, match="33 x 32 cells does not divide by the stride 2"):
        branch(BevGrid((-16.5, -16.0, -5.0), (16.5, 16.0, 3.0), (1.0, 1.0, 8.0)))


@pytest.mark.parametrize("wrong", [{"start": 0.0}, {"stop": 1.0}, {"step": 0.0}])
def test_wrong_depths_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="DepthBins"):
        DepthBins(**wrong)
