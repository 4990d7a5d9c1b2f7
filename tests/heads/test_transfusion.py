import itertools
from dataclasses import replace

import pytest
import torch

from pc_ssl.heads.attributes import NUSCENES_CLASSES
from pc_ssl.heads.box_coding import BoxTargets
from pc_ssl.heads.suppression import CircleNms
from pc_ssl.heads.transfusion import DecoderLayer, MatchingCost, QueryPredictions, TransFusionHead
from pc_ssl.losses.focal import sigmoid_focal
from pc_ssl.structures import Boxes3D


def head(**arguments) -> TransFusionHead:
    torch.manual_seed(0)
    settings = {"channels": 16, "queries": 30, "attention_heads": 2, "hidden_channels": 16, "dropout": 0.0}
    return TransFusionHead(8, **(settings | arguments))


def perfect(boxes: Boxes3D, cells, queries: int = 30) -> QueryPredictions:
    """Predictions of a network that knows the boxes of one frame, in an order of its own."""
    generator = torch.Generator().manual_seed(3)
    query = torch.randperm(queries, generator=generator)[: len(boxes)]
    code = torch.randn(1, queries, 10, generator=generator)
    kind, logit = torch.zeros(1, queries, dtype=torch.long), torch.full((1, queries, 10), -9.0)
    for row, box, label in zip(query.tolist(), boxes.box, boxes.label.tolist(), strict=True):
        code[0, row] = torch.tensor(
            [box[0] + 20, box[1] + 16, box[2], *box[3:6].log(), box[6].sin(), box[6].cos(), *box[7:9].nan_to_num(0.0)]
        )
        kind[0, row], logit[0, row, label] = label, 9.0
    heat_map = torch.zeros(1, 10, cells.rows, cells.columns)
    return QueryPredictions(heat_map, kind, torch.ones(1, queries), logit, code, cells)


@pytest.mark.parametrize("seed", range(5))
def test_a_network_that_knows_the_boxes_finds_them(spread_boxes, cells, seed: int) -> None:
    boxes = spread_boxes(seed, count=20)
    found = head(score_threshold=0.5).decode(perfect(boxes, cells))[0]
    assert len(found) == 20
    order = [int((found.box[:, :2] - box[:2]).norm(dim=1).argmin()) for box in boxes.box]
    assert sorted(order) == list(range(20))
    assert torch.equal(found.label[order], boxes.label)
    expected = boxes.box.clone()
    expected[:, 7:] = expected[:, 7:].nan_to_num(0.0)
    difference = found.box[order] - expected
    difference[:, 6] = torch.remainder(difference[:, 6] + torch.pi, 2 * torch.pi) - torch.pi
    assert difference.abs().max() < 1e-3


def test_a_network_that_knows_the_boxes_has_no_loss_of_class_and_box(spread_boxes, cells) -> None:
    boxes = spread_boxes(0, count=20)
    terms = head().loss(perfect(boxes, cells), [boxes])
    assert terms["box"] < 1e-4
    assert terms["class"] < 1e-3


def test_matches_are_those_of_least_cost(spread_boxes, cells) -> None:
    boxes, model = spread_boxes(0, count=4), head()
    targets = BoxTargets.of([boxes], 10, cells)
    generator = torch.Generator().manual_seed(0)
    code = targets.code[torch.randint(4, (5,), generator=generator)].nan_to_num(0.0)
    found = replace(
        perfect(boxes, cells, 5),
        code=(code + torch.randn(5, 10, generator=generator) * 0.5)[None],
        logit=torch.randn(1, 5, 10, generator=generator),
    )
    cost = model.cost(found.logit[0], found.code[0], targets, cells)
    best = min(itertools.permutations(range(5), 4), key=lambda rows: sum(float(cost[r, c]) for c, r in enumerate(rows)))
    _, query, of_box = model._matched(found, targets)
    assert dict(zip(of_box.tolist(), query.tolist(), strict=True)) == dict(enumerate(best))


def test_the_cost_is_its_sum(spread_boxes, cells) -> None:
    targets = BoxTargets.of([spread_boxes(0, count=3)], 10, cells)
    generator = torch.Generator().manual_seed(0)
    logit, code = torch.randn(4, 10, generator=generator), torch.randn(4, 10, generator=generator)
    code[0] = targets.code[2].nan_to_num(0.0)
    cost = MatchingCost()(logit, code, targets, cells)
    one, zero = torch.ones(()), torch.zeros(())
    for i in range(4):
        for j in range(3):
            of_class = logit[i, targets.label[j]]
            expected = 0.15 * (sigmoid_focal(of_class, one) - sigmoid_focal(of_class, zero))
            x, y = code[i, :2] - targets.code[j, :2]
            expected = expected + 0.25 * (x.abs() / 40 + y.abs() / 32) - 0.25 * ((i, j) == (0, 2))
            assert cost[i, j].item() == pytest.approx(expected.item(), abs=2e-3 if i else 1e-5)


def test_queries_start_at_the_peaks_of_the_heat_map(features) -> None:
    model = head(queries=600).eval()
    found = model(features(8, frames=1))
    probability = found.heat_map.sigmoid()[0]
    peak = torch.nn.functional.max_pool2d(probability, 3, 1, 1) == probability
    peak[[NUSCENES_CLASSES.index("pedestrian"), NUSCENES_CLASSES.index("traffic_cone")]] = True  # every cell
    expected = torch.where(peak, probability, 0.0).flatten().sort(descending=True).values[:600]
    torch.testing.assert_close(found.peak[0], expected)


def test_boxes_count_from_the_centre_of_their_querys_cell(features) -> None:
    model = head().eval()
    for layer in (model.predict_code[0][-1].weight, model.predict_code[0][-1].bias):
        torch.nn.init.zeros_(layer)
    found = model(features(8, frames=1))
    column, row = (found.code[0, :, :2] - 0.5).unbind(1)
    probability = found.heat_map.sigmoid()[0]
    torch.testing.assert_close(probability[found.kind[0], row.long(), column.long()], found.peak[0])


def test_the_decoder_treats_queries_and_cells_as_sets() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(8, 2, 16, 0.0)
    query, key = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    at, place = torch.rand(2, 5, 2) * 10, torch.rand(7, 2) * 10
    out = layer(query, key, at, place)
    q, k = torch.randperm(5), torch.randperm(7)
    torch.testing.assert_close(layer(query[:, q], key[:, k], at[:, q], place[k]), out[:, q])
    assert (layer(query, key, at, place.flip(0)) - out).abs().max() > 1e-4  # but positions matter


def test_neighbouring_cells_of_a_large_map_differ_under_bfloat16() -> None:
    torch.manual_seed(0)
    layer, place = DecoderLayer(16, 2, 16, 0.0), torch.arange(180.0)[:, None].expand(-1, 2) + 0.5
    query, key = torch.zeros(1, 4, 16), torch.zeros(1, 180, 16)
    seen = []
    layer.across.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1].float()))
    with torch.no_grad():
        layer(query, key, place[None, :4], place)
        with torch.autocast("cpu", torch.bfloat16):
            layer(query, key, place[None, :4], place)
    exact, rough = seen
    step = (exact[0, 1:] - exact[0, :-1]).norm(dim=1)
    assert (exact - rough)[0, 1:].norm(dim=1).lt(0.05 * step).all()


def test_the_order_of_boxes_and_of_frames_does_not_matter(spread_boxes, features) -> None:
    model, boxes = head().eval(), [spread_boxes(0), spread_boxes(1)]
    found = model(features(8))
    turned = boxes[0][torch.randperm(len(boxes[0]), generator=torch.Generator().manual_seed(1))]
    loss = model.loss(found, boxes)["loss"]
    torch.testing.assert_close(loss, model.loss(found, [turned, boxes[1]])["loss"])
    swapped = features(8)
    swapped = replace(swapped, map=swapped.map.flip(0))
    torch.testing.assert_close(loss, model.loss(model(swapped), boxes[::-1])["loss"])


def test_frames_without_boxes_train_on(spread_boxes, features) -> None:
    model, none = head(), spread_boxes(0)[torch.zeros(0, dtype=torch.long)]
    loss = model.loss(model(features(8)), [none, none])["loss"]
    loss.backward()
    assert loss > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_more_boxes_than_queries_train_on(spread_boxes, features) -> None:
    model = head(queries=5)
    loss = model.loss(model(features(8)), [spread_boxes(0), spread_boxes(1)])["loss"]
    assert loss.isfinite()


def test_fewer_cells_than_queries_give_as_many_queries_as_cells(features) -> None:
    small = features(8)
    small = replace(small, map=small.map[:, :, :4, :5])
    assert head(queries=1000)(small).kind.shape == (2, 10 * 4 * 5)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_map_is_overfitted_and_its_boxes_are_found(spread_boxes, features, bf16: bool) -> None:
    model, boxes = head(), [spread_boxes(0, count=6), spread_boxes(1, count=6)]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model.loss(model(features(8)), boxes)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    for of_frame, found in zip(boxes, model.decode(model(features(8))), strict=True):
        best = found[torch.arange(6)]
        distance = torch.cdist(of_frame.box[:, :2], best.box[:, :2])
        assert (distance.min(dim=1).values < 0.5).all()


def test_wrong_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="small_classes"):
        head(small_classes=("dog",))
    with pytest.raises(ValueError, match="1 distances for 10 classes"):
        head(suppression=CircleNms((1.0,)))
