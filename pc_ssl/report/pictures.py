"""Pictures of one keyframe: seen from above, and on its images. Every function returns a matplotlib figure.

Figures are built without pyplot, so nothing is global and no display is needed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pc_ssl.data.images import decode_image
from pc_ssl.report.palette import GROUND, NO_REGION, class_colors, distinct_colors, feature_colors, region_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PANEL_INCHES = 6.0
DOTS_PER_INCH = 110
REACH_M = 40.0  # half the side of the square that is drawn, around the sensor
ROOM_M = 12.0  # half the side of a square that a cloud fits into which is drawn whole, cut open as a room
ROOM_CUT = 0.7  # share of a room's height that is drawn: furniture without the ceiling
POINT_SIZE = 1.6


def png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Window:
    """What is drawn of a cloud seen from above: a square around (x, y), metres, `half` to each side, below `top`."""

    x: float = 0.0
    y: float = 0.0
    half: float = REACH_M
    top: float = math.inf

    @classmethod
    def of(cls, xyz: NDArray) -> Window:
        """The surroundings of the sensor, or the whole room; xyz [N, 3] metres, LiDAR or room frame."""
        if not len(xyz):
            return cls()
        low, high = xyz.min(axis=0).astype(float), xyz.max(axis=0).astype(float)
        half = 0.5 * float((high - low)[:2].max())
        if half > ROOM_M:
            return cls()
        x, y, _ = (0.5 * (low + high)).tolist()
        return cls(x, y, half + 0.25, float(low[2] + ROOM_CUT * (high - low)[2]))

    def shows(self, xyz: NDArray) -> NDArray[np.bool_]:
        """[N] bool."""
        return (np.abs(xyz[:, :2] - [self.x, self.y]).max(axis=1) <= self.half) & (xyz[:, 2] <= self.top)


def regions_from_above(xyz: NDArray, region: NDArray, ground: NDArray, box: NDArray | None = None) -> Figure:
    """Regions in distinct colours; ground and points outside regions in grey.

    Args:
        xyz: [N, 3] metres, LiDAR or room frame.
        region: [N], -1 means none.
        ground: [N] bool.
        box: [M, 9] x y z l w h yaw vx vy in metres and radians, drawn as outlines; None draws none.
    """
    figure, (axes,) = _panels(1)
    window = Window.of(xyz)
    kinds = (ground, (region < 0) & ~ground, region >= 0)
    colors = (np.tile(GROUND, (int(kinds[0].sum()), 1)), np.tile(NO_REGION, (int(kinds[1].sum()), 1)),
              region_colors(region[kinds[2]]))  # fmt: skip
    for kind, color in zip(kinds, colors, strict=True):
        shown = window.shows(xyz[kind])
        _scatter(axes, xyz[kind][shown], color[shown])
    handles = [
        _dot(GROUND, f"ground, {share(ground)}"),
        _dot(NO_REGION, f"in no region, {share(kinds[1])}"),
        _dot(distinct_colors(1)[0], f"{len(np.unique(region[kinds[2]]))} regions, {share(kinds[2])}"),
    ]
    if box is not None and len(box):
        from matplotlib.lines import Line2D

        for corners in box_outlines(box):
            axes.plot(*corners.T, color="black", linewidth=0.8)
        handles.append(Line2D([], [], color="black", linewidth=0.8, label=f"{len(box)} annotated boxes"))
    _frame(axes, window, "Regions seen from above")
    _legend(figure, handles, columns=2)
    return figure


def classes_from_above(xyz: NDArray, panels: Mapping[str, NDArray], class_names: Sequence[str]) -> Figure:
    """The class of each point, one panel per title: such as labels and predictions.

    Args:
        xyz: [N, 3] metres, LiDAR or room frame.
        panels: title -> [N] class index into `class_names`; index 0 is `ignore`.
        class_names: names by class index.
    """
    figure, all_axes = _panels(len(panels))
    colors = class_colors(class_names)
    window = Window.of(xyz)
    shown = np.flatnonzero(window.shows(xyz))
    order = shown[np.argsort(xyz[shown, 2], kind="stable")]  # higher points are drawn last
    seen: set[int] = set()
    for axes, (title, value) in zip(all_axes, panels.items(), strict=True):
        _scatter(axes, xyz[order], colors[value[order]])
        _frame(axes, window, title)
        seen |= set(np.unique(value).tolist())
    handles = [_dot(colors[k], class_names[k].replace("_", " ")) for k in sorted(seen)]
    _legend(figure, handles, columns=min(6, 3 * len(panels)))
    return figure


def features_from_above(xyz: NDArray, panels: Mapping[str, NDArray]) -> Figure:
    """Features as colours (`feature_colors`), one panel per title.

    Args:
        xyz: [N, 3] metres, LiDAR or room frame.
        panels: title -> [N, C] features of the points.
    """
    figure, all_axes = _panels(len(panels))
    window = Window.of(xyz)
    near = window.shows(xyz)
    order = np.argsort(xyz[near, 2], kind="stable")
    for axes, (title, feature) in zip(all_axes, panels.items(), strict=True):
        _scatter(axes, xyz[near][order], feature_colors(feature[near])[order])
        _frame(axes, window, title)
    return figure


def points_on_image(image: bytes, pixel: NDArray, depth: NDArray, region: NDArray, title: str) -> Figure:
    """The points in a camera's view, on its image: above coloured by depth, below by region.

    Args:
        image: the encoded image.
        pixel: [P, 2] column, row.
        depth: [P] metres along the camera's axis.
        region: [P], -1 means none (not drawn).
        title: such as the camera's name.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
    height, width = picture.shape[:2]
    inches = 9.0
    figure = Figure(figsize=(inches, 1.75 * inches * height / width + 0.6), layout="constrained")
    above, below = figure.subplots(2, 1)
    for axes in (above, below):
        axes.imshow(picture, alpha=0.7, extent=(0, width, height, 0))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
    size = float(np.clip(20_000 / max(len(pixel), 1), 3, 12))
    far = np.argsort(-depth, kind="stable")  # near points last, on top
    dots = above.scatter(
        *pixel[far].T, c=depth[far], s=size, cmap="turbo_r", linewidths=0, vmin=0, vmax=min(50, depth.max(initial=1))
    )
    figure.colorbar(dots, ax=(above, below), label="depth [m]", extend="max", shrink=0.45, anchor=(0, 1), pad=0.01)
    above.set_title(f"{title}: {len(pixel)} points by depth", fontsize=11)
    far = far[region[far] >= 0]
    below.scatter(*pixel[far].T, c=region_colors(region[far]), s=size, linewidths=0)
    below.set_title(f"{title}: {len(far)} points of {len(np.unique(region[far]))} regions", fontsize=11)
    return figure


def superpixels_on_image(image: bytes, superpixel: NDArray) -> Figure:
    """The image, and beside it each superpixel in a colour of its own.

    Args:
        image: the encoded image.
        superpixel: [H, W], -1 means none (not coloured).
    """
    from matplotlib.figure import Figure

    picture = decode_image(np.frombuffer(image, np.uint8)) / 255
    colors = region_colors(superpixel.ravel()).reshape(*superpixel.shape, -1)[..., :3]
    mixed = np.where(superpixel[..., None] < 0, picture, 0.4 * picture + 0.6 * colors)
    height, width = superpixel.shape
    inches = 9.0
    figure = Figure(figsize=(inches, 0.5 * inches * height / width + 0.2), layout="constrained")
    for axes, shown in zip(figure.subplots(1, 2), (picture, mixed), strict=True):
        axes.imshow(shown)
        axes.set_axis_off()
    return figure


def box_outlines(box: NDArray) -> NDArray[np.float64]:
    """[M, 7, 2]: the footprint of each box [M, 9] as a closed line, and a stroke from its centre to its front."""
    length, width, yaw = box[:, 3].astype(float), box[:, 4].astype(float), box[:, 6].astype(float)
    along = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    across = np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
    walk = [(0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (0.5, 0.0), (0.0, 0.0)]
    strokes = [f * (length[:, None] * along) + s * (width[:, None] * across) for f, s in walk]
    return box[:, None, :2].astype(float) + np.stack(strokes, axis=1)


def share(chosen: NDArray) -> str:
    """`41 % of the points`."""
    return f"{100 * float(np.mean(chosen)) if len(chosen) else 0:.0f} % of the points"


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL_INCHES * count, PANEL_INCHES + 0.9), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _scatter(axes: Axes, xyz: NDArray, color: NDArray) -> None:
    axes.scatter(xyz[:, 0], xyz[:, 1], c=color, s=POINT_SIZE, linewidths=0)


def _frame(axes: Axes, window: Window, title: str) -> None:
    axes.set_xlim(window.x - window.half, window.x + window.half)
    axes.set_ylim(window.y - window.half, window.y + window.half)
    axes.set_aspect("equal")
    if window.half >= REACH_M:
        axes.plot(0, 0, marker="+", color="black", markersize=9)  # the sensor
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.grid(color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=12)


def _dot(color: Sequence[float] | NDArray, label: str) -> Line2D:
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], marker="o", linestyle="", markersize=6, color=to_hex((color[0], color[1], color[2])), label=label
    )


def _legend(figure: Figure, handles: list, columns: int) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
