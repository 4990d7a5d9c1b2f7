from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pc_ssl.evaluation.indoor_detection import IndoorDetectionMetric
from pc_ssl.heads.indoor_detection import (
    IndoorDetectionTask,
    Locations,
    _assign,
    _candidates,
    _centerness,
    _overlap_of_distances,
    along_axes,
    overlaps,
)
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.structures import Boxes3D, PointBatch, SensorBatch
from pc_ssl.views.sensors import SensorViews


def unet() -> nn.Module:
    return SparseUNet((0.1, 0.1, 0.1), 1, 8, (8, 16), (1, 1), (16, 16), (1, 1))


def room(seed: int) -> tuple[torch.Tensor, Boxes3D]:
    """A floor, and two blocks of different height whose surfaces are seen."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *size: torch.rand(*size, generator=generator)  # noqa: E731
    floor = torch.cat([rand(400, 2) * 4 - 2, torch.zeros(400, 1)], dim=1)
    parts, rows = [floor], []
    for number, (x, height) in enumerate(((-1.0, 0.5), (1.0, 1.2))):
        size = torch.tensor([0.6, 0.6, height])
        surface = rand(400, 3) * 2 - 1
        axis = torch.randint(0, 3, (400,), generator=generator)
        surface[torch.arange(400), axis] = surface[torch.arange(400), axis].sign()
        centre = torch.tensor([x, float(number) - 0.5, height / 2])
        parts.append(centre + surface * size / 2)
        rows.append([*centre.tolist(), *size.tolist(), 0, 0, 0])
    xyz = torch.cat(parts)
    return torch.cat([xyz, torch.ones(len(xyz), 1)], dim=1), Boxes3D(torch.tensor(rows), torch.tensor([0, 1]))


def batch() -> SensorBatch:
    clouds, boxes = zip(*(room(seed) for seed in range(2)), strict=True)
    points = PointBatch.pack(list(clouds))
    return SensorBatch(("a", "b"), points, torch.eye(4).expand(2, 4, 4),
                       torch.full((len(points.points),), -1), 0, boxes=boxes)  # fmt: skip


def task(sizes: tuple[float, ...] = (0.1, 0.2)) -> IndoorDetectionTask:
    torch.manual_seed(0)
    return IndoorDetectionTask(unet(), SensorViews(boxes=True), ("low", "high"), sizes, 32)


def test_two_rooms_are_learned_by_heart() -> None:
    detector, rooms = task(), batch()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-2)
    for _ in range(120):
        loss = detector(rooms)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    metric = IndoorDetectionMetric(detector.class_names)
    assert rooms.boxes is not None
    for prediction, truth in zip(detector.eval().predict(rooms), rooms.boxes, strict=True):
        metric.update(prediction, truth)
    assert metric.result().mean_average_precision[0] > 0.9
    assert metric.result().mean_average_precision[1] > 0.7


def test_a_room_without_boxes_trains_on() -> None:
    detector, rooms = task(), batch()
    none = Boxes3D(torch.zeros(0, 9), torch.zeros(0, dtype=torch.long))
    terms = detector(replace(rooms, boxes=(none, none)))
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    assert all(p.grad is not None for p in detector.backbone.parameters())


def test_locations_learn_a_box_that_they_lie_in() -> None:
    detector, rooms = task(), batch()
    locations = detector.locations(rooms.points)
    assert rooms.boxes is not None
    for frame, boxes in enumerate(rooms.boxes):
        extent = along_axes(boxes.box)
        rows, box = _assign(locations, frame, extent, 2)
        assert len(rows) == len(set(rows.tolist())) > 0
        assert set(box.tolist()) == {0, 1}
        assert (locations.frame[rows] == frame).all()
        assert (locations.place[rows] > extent[box, :3]).all()
        assert (locations.place[rows] < extent[box, 3:]).all()
        assert all(len(set(locations.level[rows[box == k]].tolist())) == 1 for k in range(2))


def test_a_location_in_two_boxes_learns_the_smaller() -> None:
    place = torch.zeros(1, 3)
    locations = Locations(torch.zeros(1, 1), place, torch.tensor([0]), torch.tensor([0]))
    extent = torch.tensor([[-2.0, -2, -2, 2, 2, 2], [-1.0, -1, -1, 1, 1, 1]])
    assert _assign(locations, 0, extent, 1)[1].tolist() == [1]


@given(seed=st.integers(0, 10**6))
def test_overlaps_are_those_of_a_grid_of_samples(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 6, (2, 2, 3), generator=generator).sort(dim=1).values.float()
    extent = torch.stack([torch.cat([low, high + 1]) for low, high in corners])
    centres = torch.cartesian_prod(*[torch.arange(7) + 0.5] * 3)
    inside = [((centres > e[:3]) & (centres < e[3:])).all(dim=1) for e in extent]
    expected = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
    torch.testing.assert_close(overlaps(extent[:1], extent[1:])[0, 0], expected)


def test_overlap_of_distances_is_the_overlap_of_their_boxes() -> None:
    generator = torch.Generator().manual_seed(0)
    found, expected = (torch.rand(5, 6, generator=generator) + 0.1 for _ in range(2))
    extents = [torch.cat([-d[:, :3], d[:, 3:]], dim=1) for d in (found, expected)]
    torch.testing.assert_close(_overlap_of_distances(found, expected), overlaps(*extents).diagonal())


def test_centerness_is_the_square_root_of_the_product_of_ratios() -> None:
    distance = torch.tensor([[1.0, 1, 1, 1, 1, 1], [0.0, 1, 1, 2, 1, 1], [1.0, 1, 1, 3, 1, 1], [1.0, 2, 3, 4, 4, 4]])
    expected = torch.tensor([1.0, 0.0, (1 / 3) ** 0.5, (1 / 4 * 2 / 4 * 3 / 4) ** 0.5])
    torch.testing.assert_close(_centerness(distance), expected)


def assigned_by_loops(place: list[list[float]], level: list[int], extent: list[list[float]]) -> dict[int, int]:
    """Location -> box, written as sentences of FCAF3D's rule: level by count, 18 most central, smallest box."""
    chosen: dict[int, int] = {}
    volume = [(e[3] - e[0]) * (e[4] - e[1]) * (e[5] - e[2]) for e in extent]
    for box, e in enumerate(extent):
        centerness = {}
        for row, p in enumerate(place):
            ratios = [min(p[a] - e[a], e[a + 3] - p[a]) / max(p[a] - e[a], e[a + 3] - p[a]) for a in range(3)]
            if all(e[a] < p[a] < e[a + 3] for a in range(3)):
                centerness[row] = (ratios[0] * ratios[1] * ratios[2]) ** 0.5
        count = [sum(level[row] == k for row in centerness) for k in range(max(level) + 1)]
        best = 0
        while best + 1 < len(count) and count[best] >= 27 and count[best + 1] >= 27:
            best += 1
        own = sorted((row for row in centerness if level[row] == best), key=lambda row: -centerness[row])[:18]
        for row in own:
            if row not in chosen or volume[box] < volume[chosen[row]]:
                chosen[row] = box
    return chosen


@given(seed=st.integers(0, 10**6))
def test_locations_are_assigned_as_loops_assign_them(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(300, 3, generator=generator) * 4
    level = (torch.arange(300) > 200).long()
    low = torch.rand(3, 3, generator=generator) * 2
    extent = torch.cat([low, low + 0.8 + torch.rand(3, 3, generator=generator) * 1.5], dim=1)
    locations = Locations(torch.zeros(300, 1), place, torch.zeros(300, dtype=torch.long), level)
    rows, box = _assign(locations, 0, extent, 2)
    expected = assigned_by_loops(place.double().tolist(), level.tolist(), extent.double().tolist())
    assert dict(zip(rows.tolist(), box.tolist(), strict=True)) == expected


@torch.no_grad()
def test_the_overlap_of_central_locations_weighs_more() -> None:
    detector, rooms = task(), batch()
    terms = detector(rooms)
    locations = detector.locations(rooms.points)
    _, _, faces = detector._predict(locations)
    assert rooms.boxes is not None
    total = weights = 0.0
    for frame, boxes in enumerate(rooms.boxes):
        extent = along_axes(boxes.box)
        rows, box = _assign(locations, frame, extent, 2)
        for row, number in zip(rows.tolist(), box.tolist(), strict=True):
            place, e = locations.place[row].tolist(), extent[number].tolist()
            distance = torch.tensor([*(place[a] - e[a] for a in range(3)), *(e[a + 3] - place[a] for a in range(3))])
            weight = float(_centerness(distance[None]))
            total += weight * (1 - float(_overlap_of_distances(faces[row : row + 1], distance[None])))
            weights += weight
    assert float(terms["overlap"]) == pytest.approx(total / weights, rel=1e-4)


def test_boxes_of_all_classes_of_a_location_are_suppressed_class_by_class() -> None:
    place = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [5.0, 0, 0]])
    score = torch.tensor([[0.9, 0.5], [0.8, 0.6], [0.005, 0.3]])
    found = task()._decoded(place, torch.ones(3, 6), score)
    assert [(round(float(s), 3), int(k)) for s, k in zip(found.score, found.label, strict=True)] == [
        (0.9, 0), (0.6, 1), (0.3, 1),
    ]  # fmt: skip
    assert found.box[:, 0].tolist() == pytest.approx([0.0, 0.1, 5.0])
    assert found.box[0, 3:6].tolist() == [2, 2, 2]


def test_a_thousand_locations_of_each_level_are_decoded() -> None:
    level = torch.cat([torch.zeros(1200), torch.ones(30)]).long()
    locations = Locations(torch.zeros(1230, 1), torch.zeros(1230, 3), torch.zeros(1230, dtype=torch.long), level)
    score = torch.arange(1230.0)[:, None]
    assert sorted(_candidates(locations, score, 0, (0.1, 0.2)).tolist()) == list(range(200, 1230))


def test_views_without_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match="views"):
        IndoorDetectionTask(unet(), SensorViews(), ("low",))
    with pytest.raises(ValueError, match=r"level_sizes.*\(0\.2, 0\.1\)"):
        task((0.2, 0.1))
    with pytest.raises(ValueError, match=r"level_sizes.*\(0\.1, 0\.25\)"):
        task((0.1, 0.25))


def test_empty_cells_of_occupied_coarser_cells_are_locations() -> None:
    detector = task((0.1, 0.2))
    xyz = torch.tensor([[0.01, 0.02, 0.03], [0.12, 0.05, 0.05], [1.05, 0.05, 0.05]])
    points = PointBatch.pack([torch.cat([xyz, torch.ones(3, 1)], dim=1)])
    locations = detector.locations(points)
    fine, coarse = ((locations.level == level).nonzero()[:, 0] for level in range(2))
    assert (len(fine), len(coarse)) == (16, 2)
    torch.testing.assert_close(locations.place[fine[:3]], xyz)
    cells = {tuple(round(10 * float(v) - 0.5) for v in place) for place in locations.place[fine[3:]]}
    expected = {(x + o, y, z) for o in (0, 10) for x in (0, 1) for y in (0, 1) for z in (0, 1)}
    assert cells == expected - {(0, 0, 0), (1, 0, 0), (10, 0, 0)}
    offset = detector.head["offset"]
    for row in fine[3:].tolist():
        parent = int(locations.place[row, 0] > 0.5)
        mean = torch.stack([xyz[:2].mean(dim=0), xyz[2]])[parent]
        expected_feature = locations.feature[coarse[parent]] + offset((locations.place[row] - mean) / 0.1)
        torch.testing.assert_close(locations.feature[row], expected_feature)
