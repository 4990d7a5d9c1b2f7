"""Overlap and suppression of rotated boxes against their peers on the CPU, one thread, interleaved in one process.

    python benchmarks/rotated_boxes.py

Peers: the plain-torch twin, shapely with an index of its own (STRtree) on ready polygons, OpenCV's function for two
turned rectangles pair by pair; for circle_nms the loop of CenterPoint's code compiled by numba. Times are the
least over the rounds, each of which runs every candidate once in a new order.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from functools import partial

import cv2
import numba
import numpy as np
import shapely
import torch
from torch import Tensor

from pc_ssl.ops import circle_nms, rotated_iou_bev, rotated_nms
from pc_ssl.ops.reference import _corners, rotated_iou_reference

Run = Callable[[], object]


def draw_boxes(number: int, seed: int) -> Tensor:
    """[number, 7]: cars, 4.5 m by 1.9 m give or take a fifth, on 100 m by 100 m."""
    generator = torch.Generator().manual_seed(seed)
    box = torch.rand(number, 7, generator=generator)
    size = torch.tensor([4.5, 1.9, 1.6]) * (0.8 + 0.4 * box[:, 3:6])
    return torch.cat([(box[:, :2] - 0.5) * 100, box[:, 2:3], size, box[:, 6:] * 6.28], dim=1)


def polygons(box: Tensor) -> np.ndarray:
    return shapely.polygons(_corners(box.double()[None])[0].numpy())


def shapely_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    row, column = shapely.STRtree(b).query(a)
    shared = shapely.area(shapely.intersection(a[row], b[column]))
    iou = np.zeros((len(a), len(b)))
    iou[row, column] = shared / (shapely.area(a)[row] + shapely.area(b)[column] - shared)
    return iou


def opencv_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    first, second = (
        [((x, y), (l, w), np.degrees(yaw)) for x, y, _, l, w, _, yaw in rows.tolist()]  # noqa: E741
        for rows in (a, b)
    )
    iou = np.zeros((len(a), len(b)))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            kind, points = cv2.rotatedRectangleIntersection(one, other)
            if kind != cv2.INTERSECT_NONE:
                shared = cv2.contourArea(cv2.convexHull(points))
                iou[i, j] = shared / (one[1][0] * one[1][1] + other[1][0] * other[1][1] - shared)
    return iou


@numba.njit
def circle_loop(x: np.ndarray, y: np.ndarray, order: np.ndarray, squared: float) -> list[int]:
    gone = np.zeros(len(x), np.bool_)
    kept = []
    for place, i in enumerate(order):
        if gone[i]:
            continue
        kept.append(i)
        for j in order[place + 1 :]:
            if (x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2 <= squared:
                gone[j] = True
    return kept


def greedy(iou: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Suppression on a full matrix: what plain torch leaves one to write."""
    order = scores.argsort(descending=True, stable=True)
    above = iou[order][:, order] > threshold
    stays = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if stays[i]:
            stays[i + 1 :] &= ~above[i, i + 1 :]
    return order[stays]


def compare(title: str, runs: dict[str, Run], rounds: int) -> None:
    """Print the least time of each, and how many times ours it is."""
    names = list(runs)
    for name in names:
        runs[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    rng = random.Random(0)
    for _ in range(rounds):
        rng.shuffle(names)
        for name in names:
            begin = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - begin)
    ours = min(times["ours"])
    for name in runs:
        least = min(times[name])
        print(f"{title:34} {name:16} {1e3 * least:10.3f} ms {least / ours:9.1f} x ours", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for n, m in ((200, 50), (1000, 200)):
        a, b = draw_boxes(n, 0), draw_boxes(m, 1)
        runs: dict[str, Run] = {
            "ours": partial(rotated_iou_bev, a, b),
            "plain torch": partial(rotated_iou_reference, a, b, False),
            "shapely": partial(shapely_iou, polygons(a), polygons(b)),
            "opencv": partial(opencv_iou, a.numpy(), b.numpy()),
        }
        worst = np.abs(rotated_iou_bev(a, b).numpy() - shapely_iou(polygons(a), polygons(b))).max()
        print(f"rotated_iou_bev {n} x {m}: largest difference from shapely {worst:.1e}")
        compare(f"rotated_iou_bev {n} x {m}", runs, rounds)
    boxes = draw_boxes(1000, 2)
    scores = torch.rand(1000, generator=torch.Generator().manual_seed(3))
    ready = polygons(boxes)
    suppress: dict[str, Run] = {
        "ours": lambda: rotated_nms(boxes, scores, 0.2),
        "plain torch": lambda: greedy(rotated_iou_reference(boxes, boxes, False), scores, 0.2),
        "shapely": lambda: greedy(torch.from_numpy(shapely_iou(ready, ready)), scores, 0.2),
    }
    compare("rotated_nms 1000", suppress, rounds)
    x, y = boxes[:, 0].numpy(), boxes[:, 1].numpy()
    circles: dict[str, Run] = {
        "ours": lambda: circle_nms(boxes, scores, 2.0),
        "numba": lambda: circle_loop(x, y, scores.argsort(descending=True, stable=True).numpy(), 4.0),
    }
    compare("circle_nms 1000", circles, rounds)


if __name__ == "__main__":
    main()
