"""Point activation maps: similarity of every point's feature to that of an anchor, before and after pretraining.

As Liu et al. draw them in "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import check_point_features
from pc_ssl.data.facts import facts_of
from pc_ssl.engine.weights import load_backbone
from pc_ssl.errors import UserError
from pc_ssl.evaluation.run_result import CONFIG, WEIGHTS
from pc_ssl.files import write_bytes
from pc_ssl.report.pictures import Window, png
from pc_ssl.structures import PointBatch
from pc_ssl.views.lidar import Augmentation, move_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = "activation.png"
FARTHEST_M = 1.0  # between the given anchor and the nearest point
VIEWS = ("first view", "second view")


def draw_activation(run: Path, cache: Cache, token: str, anchor: tuple[float, float, float], out: Path | None) -> Path:
    """Draw the similarity to an anchor in two views of a frame, by the random network and by the pretrained one.

    Args:
        run: work folder of a finished pretraining.
        cache: holds the frame.
        token: the frame's name.
        anchor: x, y, z in metres, LiDAR or room frame; the nearest point is used.
        out: the picture; None: activation.png in `run`.

    Returns:
        The written file.

    Raises:
        UserError: the run or the frame is missing or damaged, they do not match, or no point is near the anchor.
    """
    path = out or run / PICTURE
    config = load_config(run / CONFIG)
    if config.kind != "method":
        raise UserError(f"{config.path}: holds a downstream task, expected a `method`")
    seed = config.build("train").seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before: Any = config.build("method", facts_of(cache)).get_submodule("backbone")
    if before.point_features is None or before.uses_cameras:
        raise UserError(f"{config.path}: its backbone takes no points")
    after = copy.deepcopy(before)
    load_backbone(run / WEIGHTS, after)
    index = next((number for number, entry in enumerate(cache.frames) if entry.token == token), None)
    if index is None:
        raise UserError(f"{cache.path}: no frame {token!r}")
    check_point_features(cache, before.point_features)
    points = cache[index]["points"]
    row = nearest_point(points, anchor)
    views = two_views(points, seed)
    panels = {
        name: similarity_to_anchor(network, views, row)
        for name, network in (("random network", before), ("pretrained", after))
    }
    figure = activations_from_above([view.numpy()[:, :3] for view in views], panels, row)
    write_bytes(path, png(figure))
    return path


def nearest_point(points: Tensor, anchor: tuple[float, float, float]) -> int:
    """Row of the point of points [N, 3 + F] nearest to the anchor, metres in their frame.

    Raises:
        UserError: the nearest point is farther than 1 m.
    """
    distance = torch.linalg.vector_norm(points[:, :3].double() - torch.tensor(anchor, dtype=torch.float64), dim=1)
    if len(points) == 0 or not bool(distance.min() <= FARTHEST_M):
        found = f"the nearest is {float(distance.min()):.1f} m away" if len(points) else "the frame has none"
        raise UserError(
            f"anchor {','.join(f'{value:g}' for value in anchor)}: no point within {FARTHEST_M:g} m; {found}"
        )
    return int(distance.argmin())


def two_views(points: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two augmented views of points [N, 3 + F], with every point in the same row; the same seed gives the same ones."""
    rng = np.random.default_rng(seed)
    augmentation = Augmentation()
    return move_points(points, augmentation.draw(rng)), move_points(points, augmentation.draw(rng))


@torch.no_grad()
def similarity_to_anchor(backbone: nn.Module, views: tuple[Tensor, Tensor], row: int) -> tuple[NDArray, NDArray]:
    """Cosine of the anchor's feature in the first view with the features of all points of both.

    Args:
        backbone: LiDAR backbone; is set to eval mode.
        views: [N, 3 + F] each, of the same points.
        row: the anchor.

    Returns:
        [N] float32 in -1..1, in the first and in the second view; 0 for a point without a feature, outside the
        backbone's
            grid.
    """
    backbone.eval()
    batches = [PointBatch.pack([view]) for view in views]
    first, second = (normalize(backbone(batch).at_points(batch).float(), dim=1) for batch in batches)
    return (first @ first[row]).numpy(), (second @ first[row]).numpy()


def activations_from_above(xyz: list[NDArray], panels: Mapping[str, tuple[NDArray, NDArray]], row: int) -> Figure:
    """Similarities as colours, one row of panels per network, one column per view; a cross marks the anchor.

    Args:
        xyz: [N, 3] metres, of the two views, each in its own frame.
        panels: network -> similarities [N] in both views, -1..1.
        row: the anchor.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 5.6 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 2, squeeze=False)
    dots = None
    for axes_of, (network, similarities) in zip(all_axes, panels.items(), strict=True):
        for axes, place, similarity, view in zip(axes_of, xyz, similarities, VIEWS, strict=True):
            window = Window.of(place)
            shown = np.flatnonzero(window.shows(place))
            order = shown[np.argsort(similarity[shown], kind="stable")]  # similar points are drawn last
            dots = axes.scatter(
                *place[order, :2].T, c=similarity[order], s=2.0, linewidths=0, cmap="viridis", vmin=-1, vmax=1
            )
            axes.plot(*place[row, :2], marker="x", color="red", markersize=11, markeredgewidth=2.0)
            axes.set_xlim(window.x - window.half, window.x + window.half)
            axes.set_ylim(window.y - window.half, window.y + window.half)
            axes.set_aspect("equal")
            axes.set_title(f"{network}, {view}", fontsize=12)
            axes.set_xlabel("x [m]")
            axes.set_ylabel("y [m]")
    if dots is not None:
        figure.colorbar(dots, ax=all_axes, label="cosine similarity to the anchor (cross)", shrink=0.5)
    return figure
