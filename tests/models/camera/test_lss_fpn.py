"""BEVFusion's image neck and depth from LiDAR, against loops and outputs of its own code."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from pc_ssl.geometry import BevGrid
from pc_ssl.interop.pairs import random_weights
from pc_ssl.models.camera import DepthBins, LiftSplat, RandomResNet
from pc_ssl.models.camera.lss_fpn import DepthFromLidar, LssNeck, MapReducer, depth_images
from pc_ssl.structures import CameraBatch, PointBatch

STORED = Path(__file__).with_name("bevfusion_camera.safetensors")


def cameras(frames: int = 2) -> CameraBatch:
    """One camera at the origin that looks along x, 8 x 12 pixels, and one that looks backwards."""
    intrinsic = torch.tensor([[6.0, 0, 6], [0, 6.0, 4], [0, 0, 1]])
    forward = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    backward = torch.tensor([[0.0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    return CameraBatch(
        torch.zeros(frames, 2, 3, 8, 12),
        intrinsic.expand(frames, 2, 3, 3),
        torch.stack([forward, backward]).expand(frames, 2, 4, 4),
        torch.tensor([[True, True]] * (frames - 1) + [[True, False]]),
    )


def depth_by_loop(clouds: list[Tensor], batch: CameraBatch) -> Tensor:
    image = torch.zeros(len(clouds), 2, 1, 8, 12)
    for b, cloud in enumerate(clouds):
        for k in range(2):
            for x, y, z in cloud[:, :3].tolist():
                place = batch.camera_from_view[b, k] @ torch.tensor([x, y, z, 1.0])
                if place[2] <= 1e-5 or not batch.present[b, k]:
                    continue
                u, v, _ = (batch.pixel_from_camera[b, k] @ (place[:3] / place[2])).tolist()
                column, row = int(u // 1), int(v // 1)
                if 0 <= column < 12 and 0 <= row < 8:
                    before = float(image[b, k, 0, row, column])
                    depth = float(place[2])
                    image[b, k, 0, row, column] = depth if before == 0 else min(before, depth)
    return image


def test_depths_are_those_of_a_loop_over_points_and_cameras() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = [(torch.rand(n, 4, generator=generator) - 0.5) * torch.tensor([20.0, 12, 6, 1]) for n in (200, 120)]
    found = depth_images(PointBatch.pack(clouds), cameras())
    expected = depth_by_loop(clouds, cameras())
    assert expected.count_nonzero() > 60
    assert expected[1, 1].count_nonzero() == 0  # the camera is missing
    torch.testing.assert_close(found, expected)


def test_a_nearer_point_hides_the_one_behind_it() -> None:
    points = PointBatch.pack([torch.tensor([[9.0, 0, 0, 0], [3.0, 0, 0, 0], [-5.0, 0, 0, 0]])])
    found = depth_images(points, cameras(1))
    assert found[0, 0].max() == 3.0
    assert found[0, 0].count_nonzero() == 1


def stored() -> tuple[dict[str, Tensor], dict[str, Tensor], str]:
    with safe_open(STORED, framework="pt") as file:
        metadata = json.loads(file.metadata()["pc_ssl"])
        tensors = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118
    return tensors, random_weights(metadata["weights"]), metadata["made_with"]


def renamed(weights: dict[str, Tensor], table: dict[str, str]) -> dict[str, Tensor]:
    """The weights below each of BEVFusion's prefixes, under ours."""
    return {
        ours + name.removeprefix(theirs): value
        for theirs, ours in table.items()
        for name, value in weights.items()
        if name.startswith(theirs)
    }


def test_the_neck_gives_what_bevfusions_own_code_gives() -> None:
    tensors, weights, made_with = stored()
    assert "bevfusion at 326653d" in made_with
    neck = LssNeck((6, 8, 10), 12).double().eval()
    table = {
        f"neck.{their}_convs.{i}.{layer}.": f"{own}.{i}.{number}."
        for i in range(2)
        for their, own in (("lateral", "lateral"), ("fpn", "smooth"))
        for layer, number in (("conv", 0), ("bn", 1))
    }
    neck.load_state_dict(renamed(weights, table), strict=False)
    with torch.no_grad():
        found = neck([tensors[f"map{i}"] for i in range(3)])
    torch.testing.assert_close(found, tensors["neck"], rtol=0, atol=1e-6)


def test_depth_and_features_are_those_of_bevfusions_own_code() -> None:
    tensors, weights, _ = stored()
    lift, reduce = DepthFromLidar(12, 5 + 4).double().eval(), MapReducer(4).double().eval()
    lift.load_state_dict(
        renamed(weights, {"vtransform.dtransform.": "depth.", "vtransform.depthnet.": "mix."}), strict=False
    )
    ours = {f"vtransform.downsample.{3 * i + k}.": f"{i}.{k}." for i in range(3) for k in range(2)}
    reduce.load_state_dict(renamed(weights, ours), strict=False)
    with torch.no_grad():
        lifted = lift(tensors["neck"], tensors["depth"])
        share, context = lifted[:, :5].softmax(1), lifted[:, 5:]
        torch.testing.assert_close(share.unsqueeze(1) * context.unsqueeze(2), tensors["lifted"], rtol=0, atol=1e-6)
        torch.testing.assert_close(reduce(tensors["pooled"]), tensors["reduced"], rtol=0, atol=1e-6)


def test_the_branch_reads_depth_from_points_and_halves_its_map() -> None:
    torch.manual_seed(0)
    grid = BevGrid((-8.0, -8.0, -4.0), (8.0, 8.0, 4.0), (1.0, 1.0, 8.0))
    image = RandomResNet((8, 12, 16), (1, 1, 1), 8, bottleneck=False, stages=(2, 3))
    net = LiftSplat(
        image, grid, DepthBins(1.0, 8.0, 1.0), 8, 6, (), neck="lss", lidar_depth=True, halve=True
    ).eval()  # fmt: skip
    batch = cameras(1)
    batch = CameraBatch(
        torch.rand(1, 2, 3, 64, 96), batch.pixel_from_camera * torch.tensor([8.0, 8, 1])[:, None],
        batch.camera_from_view, torch.ones(1, 2, dtype=torch.bool),
    )  # fmt: skip
    points = PointBatch.pack([torch.tensor([[4.0, 0.5, 0.2, 0], [-3.0, 1, 0, 0]])])
    with torch.no_grad():
        found = net(batch, points).map
        assert found.shape == (1, 6, 8, 8)
        assert net.out_channels == 6
        further = PointBatch.pack([points.points * torch.tensor([1.5, 1.5, 1.5, 1])])
        assert not torch.equal(net(batch, further).map, found)
    with pytest.raises(ValueError, match="needs points"):
        net(batch)
    net.train()(batch, points).map.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_a_backbone_without_a_stage_of_stride_8_is_refused() -> None:
    with pytest.raises(ValueError, match="stride 8"):
        DepthFromLidar(4, 6)(torch.zeros(1, 4, 4, 6), torch.zeros(1, 1, 64, 96))
    with pytest.raises(ValueError, match="two or more"):
        LssNeck((4,), 6)
