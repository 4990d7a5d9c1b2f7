from dataclasses import replace

import pytest
import torch

from pc_ssl.heads.attributes import NUSCENES_CLASSES
from pc_ssl.heads.box_coding import CODE, BoxTargets
from pc_ssl.heads.center_point import NUSCENES_GROUPS, CenterPointHead, CenterPointMaps, GroupMaps
from pc_ssl.heads.heat_map import target_heat_map
from pc_ssl.heads.suppression import CENTER_POINT_CIRCLES, CircleNms, RotatedNms
from pc_ssl.structures import Boxes3D


def head(**arguments) -> CenterPointHead:
    torch.manual_seed(0)
    return CenterPointHead(8, shared_channels=8, **arguments)


def perfect(boxes: list[Boxes3D], cells) -> CenterPointMaps:
    """The maps of a network that knows the boxes: written cell by cell, group by group."""
    groups = []
    for names in NUSCENES_GROUPS:
        heat_map = torch.full((len(boxes), len(names), cells.rows, cells.columns), -9.0)
        code = torch.zeros(len(boxes), CODE, cells.rows, cells.columns)
        for b, of_frame in enumerate(boxes):
            for box, label in zip(of_frame.box, of_frame.label.tolist(), strict=True):
                if NUSCENES_CLASSES[label] not in names:
                    continue
                x, y = float(box[0]) + 20, float(box[1]) + 16
                heat_map[b, names.index(NUSCENES_CLASSES[label]), int(y), int(x)] = 6.0
                code[b, :, int(y), int(x)] = torch.tensor(
                    [x % 1, y % 1, box[2], *box[3:6].log(), box[6].sin(), box[6].cos(), *box[7:9].nan_to_num(0.0)]
                )
        groups.append(GroupMaps(heat_map, code))
    return CenterPointMaps(tuple(groups), cells)


@pytest.mark.parametrize("suppression", [RotatedNms(), CENTER_POINT_CIRCLES])
def test_a_network_that_knows_the_boxes_finds_them(spread_boxes, cells, suppression) -> None:
    boxes = [spread_boxes(seed, count=20) for seed in range(6)]
    for of_frame, found in zip(boxes, head(suppression=suppression).decode(perfect(boxes, cells)), strict=True):
        assert len(found) == 20
        order = [int((found.box[:, :2] - box[:2]).norm(dim=1).argmin()) for box in of_frame.box]
        assert sorted(order) == list(range(20))
        assert torch.equal(found.label[order], of_frame.label)
        expected = of_frame.box.clone()
        expected[:, 7:] = expected[:, 7:].nan_to_num(0.0)
        difference = found.box[order] - expected
        difference[:, 6] = torch.remainder(difference[:, 6] + torch.pi, 2 * torch.pi) - torch.pi
        assert difference.abs().max() < 1e-3


def test_a_network_that_knows_the_boxes_has_hardly_any_loss(spread_boxes, cells) -> None:
    boxes = [spread_boxes(seed) for seed in range(2)]
    maps, model = perfect(boxes, cells), head()
    terms = model.loss(maps, boxes)
    assert terms["box"] < 1e-4
    wrong = CenterPointMaps(tuple(replace(group, code=group.code + 0.1) for group in maps.groups), cells)
    groups = len(NUSCENES_GROUPS)
    known = [sum(not bool(box[7].isnan()) for box in of.box) for of in boxes]
    assert sum(known) == 22
    assert model.loss(wrong, boxes)["box"] == pytest.approx(groups * (0.8 + 2 * 0.02), rel=0.05)


def test_the_loss_is_that_of_a_loop(spread_boxes, features, cells) -> None:
    model, boxes = head(), [spread_boxes(0), spread_boxes(1)]
    maps = model(features(8))
    terms = model.loss(maps, boxes)
    weight = torch.tensor([1.0] * 8 + [0.2] * 2)
    heat_map = box_term = 0.0
    for group, names in zip(maps.groups, NUSCENES_GROUPS, strict=True):
        rows, total = [], 0.0
        for b, of_frame in enumerate(boxes):
            for box, label in zip(of_frame.box, of_frame.label.tolist(), strict=True):
                if NUSCENES_CLASSES[label] in names:
                    x, y = float(box[0]) + 20, float(box[1]) + 16
                    wanted = torch.tensor(
                        [x % 1, y % 1, box[2], *box[3:6].log(), box[6].sin(), box[6].cos(), *box[7:9]]
                    )
                    distance = (group.code[b, :, int(y), int(x)].detach() - wanted).abs() * weight
                    total += float(distance.nansum())
                    rows.append((b, names.index(NUSCENES_CLASSES[label]), box, int(x), int(y)))
        box_term += total / max(len(rows), 1)
        targets = BoxTargets(
            torch.tensor([row[0] for row in rows]),
            torch.tensor([row[1] for row in rows]),
            torch.stack([row[2] for row in rows]),
            torch.zeros(len(rows), CODE),
            torch.tensor([row[3:] for row in rows]),
        )
        wanted = target_heat_map(targets, cells, 2, len(names), 0.1, 2).double()
        p = group.heat_map.detach().double().sigmoid()
        per_cell = torch.where(wanted == 1, (1 - p) ** 2 * p.log(), (1 - wanted) ** 4 * p**2 * (1 - p).log())
        heat_map -= float(per_cell.sum()) / max(len(rows), 1)
    assert terms["box"].item() == pytest.approx(box_term, rel=1e-4)
    assert terms["heat_map"].item() == pytest.approx(heat_map, rel=1e-4)
    torch.testing.assert_close(terms["loss"].detach(), terms["heat_map"] + 0.25 * terms["box"])


def test_the_order_of_boxes_does_not_matter(spread_boxes, features) -> None:
    model, boxes = head(), spread_boxes(0)
    maps = model(features(8, frames=1))
    turned = boxes[torch.randperm(len(boxes), generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(model.loss(maps, [boxes])["loss"], model.loss(maps, [turned])["loss"])


def test_boxes_of_other_classes_and_off_the_map_change_nothing(spread_boxes, features) -> None:
    model, boxes = head(), spread_boxes(0)
    maps = model(features(8, frames=1))
    other = Boxes3D(
        torch.cat([boxes.box, boxes.box[1:2], boxes.box[:1] + 100]), torch.cat([boxes.label, boxes.label[:2]])
    )
    other.label[len(boxes)] = 10
    assert torch.equal(model.loss(maps, [boxes])["loss"], model.loss(maps, [other])["loss"])


def test_frames_without_boxes_train_every_parameter(spread_boxes, features) -> None:
    model, none = head(), spread_boxes(0)[torch.zeros(0, dtype=torch.long)]
    loss = model.loss(model(features(8)), [none, none])["loss"]
    loss.backward()
    assert loss > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_unknown_velocities_give_finite_gradients(spread_boxes, features) -> None:
    model, boxes = head(), spread_boxes(0)
    boxes.box[:, 7:] = torch.nan
    model.loss(model(features(8, frames=1)), [boxes])["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    velocity = model.branches[0]["velocity"][-1]
    assert velocity.weight.grad.eq(0).all()


def test_bfloat16_gives_nearly_the_same_loss(spread_boxes, features) -> None:
    model, boxes = head(), [spread_boxes(0), spread_boxes(1)]
    exact = model.loss(model(features(8)), boxes)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(model(features(8)), boxes)["loss"]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_map_is_overfitted(spread_boxes, features, bf16: bool) -> None:
    model, boxes = head(), [spread_boxes(0, count=6), spread_boxes(1, count=6)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model.loss(model(features(8)), boxes)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_groups_that_forget_a_class_are_refused() -> None:
    with pytest.raises(ValueError, match="groups"):
        head(groups=NUSCENES_GROUPS[1:])
    with pytest.raises(ValueError, match="2 distances for 6 groups"):
        head(suppression=CircleNms((1.0, 2.0)))


def test_a_branch_of_one_layer_reads_the_shared_features(features) -> None:
    model = head(branch_layers=1, groups="one").eval()
    given = features(8)
    shared = model.shared(given.map)
    heat_map = model.branches[0]["heat_map"]
    assert [type(layer) for layer in heat_map] == [torch.nn.Conv2d]
    assert torch.equal(model(given).groups[0].heat_map, heat_map[0](shared))
    assert [len(branch) for branch in head().branches[0].values()] == [4] * 6
