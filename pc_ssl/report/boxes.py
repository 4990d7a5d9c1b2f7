"""Pictures of boxes: seen from above, on an image, and precision over recall. Every function returns a figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pc_ssl.evaluation.detection_result import DetectionResult
from pc_ssl.report.palette import class_colors
from pc_ssl.report.pictures import Window, box_outlines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOXES_REACH_M = 52.0  # half the side of the square that is drawn: the range of nuScenes' detection task
POINT_COLOR = "0.72"
NEAREST_M = 0.3  # boxes are clipped at this depth in front of the camera
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


@dataclass(frozen=True)
class DrawnBoxes:
    """Boxes of one panel.

    Args:
        box: [M, 9] x y z l w h yaw vx vy in metres and radians, LiDAR frame.
        label: [M] index of the class.
        score: [M] in [0, 1], drawn as opacity; None: opaque.
    """

    box: NDArray[np.float32]
    label: NDArray[np.int64]
    score: NDArray[np.float32] | None = None

    @property
    def opacity(self) -> NDArray[np.float64]:
        """[M]: a score of 1 is opaque, a score of 0 faint."""
        return np.ones(len(self.box)) if self.score is None else 0.2 + 0.8 * self.score.astype(float)


def boxes_from_above(xyz: NDArray, panels: Mapping[str, DrawnBoxes], class_names: Sequence[str]) -> Figure:
    """Boxes over the points, one panel per title, with a stroke from the centre to the front and beyond it for speed.

    Args:
        xyz: [N, 3] metres, LiDAR frame.
        panels: title -> boxes.
        class_names: names by label.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0 * len(panels), 6.9), layout="constrained")
    window = Window(half=BOXES_REACH_M)
    shown = window.shows(xyz)
    colors = class_colors(class_names)
    seen: set[int] = set()
    for axes, (title, boxes) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.scatter(xyz[shown, 0], xyz[shown, 1], c=POINT_COLOR, s=0.6, linewidths=0)
        for outline, label, alpha in zip(box_outlines(boxes.box), boxes.label, boxes.opacity, strict=True):
            axes.plot(*outline.T, color=colors[label], linewidth=1.3, alpha=alpha)
        moving = np.nan_to_num(boxes.box[:, 7:9])
        for (x, y), (vx, vy), label in zip(boxes.box[:, :2], moving, boxes.label, strict=True):
            if np.hypot(vx, vy) > 0.5:
                axes.plot([x, x + vx], [y, y + vy], color=colors[label], linewidth=0.8, linestyle=":")
        axes.set_xlim(-window.half, window.half)
        axes.set_ylim(-window.half, window.half)
        axes.set_aspect("equal")
        axes.plot(0, 0, marker="+", color="black", markersize=9)
        axes.set_xlabel("x [m]")
        axes.set_ylabel("y [m]")
        axes.set_title(f"{title}: {len(boxes.box)}", fontsize=12)
        seen |= set(boxes.label.tolist())
    _legend(figure, sorted(seen), colors, class_names)
    return figure


def boxes_on_image(
    image: bytes,
    pixel_from_camera: NDArray,
    camera_from_lidar: NDArray,
    panels: Mapping[str, DrawnBoxes],
    class_names: Sequence[str],
) -> Figure:
    """The edges of boxes on a camera's image, one row per title; the front face is crossed.

    Args:
        image: the encoded image.
        pixel_from_camera: [3, 3] of that image.
        camera_from_lidar: [4, 4].
        panels: title -> boxes.
        class_names: names by label.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
    height, width = picture.shape[:2]
    colors = class_colors(class_names)
    figure = Figure(figsize=(9.0, len(panels) * (9.0 * height / width + 0.35) + 0.5), layout="constrained")
    seen: set[int] = set()
    for axes, (title, boxes) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True):
        axes.imshow(picture, alpha=0.8, extent=(0, width, height, 0))
        count = 0
        corners = box_corners(boxes.box) @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
        for corner, label, alpha in zip(corners, boxes.label, boxes.opacity, strict=True):
            drawn = _draw_edges(axes, corner, pixel_from_camera, (width, height), colors[label], alpha)
            count += drawn
            seen |= {int(label)} if drawn else set()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        axes.set_title(f"{title}: {count}", fontsize=11)
    _legend(figure, sorted(seen), colors, class_names)
    return figure


def precision_over_recall(result: DetectionResult) -> Figure:
    """One panel per class that has boxes: precision over recall at each distance threshold."""
    from matplotlib.figure import Figure

    shown = [of for of in result.classes if of.boxes]
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.6 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    recall = np.linspace(0, 1, 101)
    for axes, of in zip(panels, shown, strict=False):
        for number, (threshold, curve) in enumerate(zip(result.thresholds_m, of.precision, strict=True)):
            axes.plot(recall, curve, color=f"C{number}", linewidth=1.4, label=f"{threshold:g} m")
        mean = 100 * of.mean_average_precision
        axes.set_title(f"{of.name.replace('_', ' ')}\nAP {mean:.1f} %, {of.boxes:,} boxes", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.03)
        axes.grid(color="0.93", linewidth=0.6)
        axes.tick_params(labelsize=8)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for number, axes in enumerate(panels[: len(shown)]):
        axes.set_xlabel("recall" if number + columns >= len(shown) else "", fontsize=9)
        axes.set_ylabel("precision" if number % columns == 0 else "", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def box_corners(box: NDArray) -> NDArray[np.float64]:
    """[M, 8, 3]: corners of boxes [M, 9], four of the bottom counter-clockwise from front right, then the top."""
    signs = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]], float)
    half = 0.5 * box[:, None, 3:5].astype(float) * signs
    cos, sin = np.cos(box[:, 6].astype(float))[:, None], np.sin(box[:, 6].astype(float))[:, None]
    x, y = cos * half[..., 0] - sin * half[..., 1], sin * half[..., 0] + cos * half[..., 1]
    z = 0.5 * box[:, None, 5].astype(float) * np.ones(4)
    bottom, top = np.stack([x, y, -z], axis=2), np.stack([x, y, z], axis=2)
    return box[:, None, :3].astype(float) + np.concatenate([bottom, top], axis=1)


def _draw_edges(
    axes: Axes, corner: NDArray, pixel_from_camera: NDArray, size: tuple[int, int], color: NDArray, alpha: float
) -> bool:
    """Draw a box by its corners [8, 3] in the camera's frame; returns whether any of it is visible."""
    front = ((0, 5), (1, 4))
    lines = []
    for first, last in (*EDGES, *front):
        ends = corner[[first, last]]
        depth = ends[:, 2]
        if (depth < NEAREST_M).all():
            continue
        if (depth < NEAREST_M).any():  # clip at the plane
            share = (NEAREST_M - depth[0]) / (depth[1] - depth[0])
            ends = ends.copy()
            ends[int(depth[1] < NEAREST_M)] = ends[0] + share * (ends[1] - ends[0])
        pixel = ends @ pixel_from_camera.T
        lines.append(pixel[:, :2] / pixel[:, 2:])
    if not lines:
        return False
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    if (high < 0).any() or (low > size).any():
        return False
    for line in lines:
        axes.plot(*line.T, color=color, linewidth=1.1, alpha=alpha)
    return True


def _legend(figure: Figure, labels: Sequence[int], colors: NDArray, class_names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colors[k], label=class_names[k].replace("_", " ")) for k in labels]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
