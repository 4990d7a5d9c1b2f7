"""Pictures and point files of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from pc_ssl.files import write_bytes
from pc_ssl.report.palette import region_colors
from pc_ssl.report.pictures import Window, png


def write_ply(path: Path, xyz: Tensor, color: Tensor, cluster: Tensor, cosine: Tensor | None) -> None:
    """Write a binary PLY file, atomically.

    Args:
        path: the file.
        xyz: [N, 3] float32 metres.
        color: [N, 3] uint8.
        cluster: [N] int32.
        cosine: [N] float32; None: the property `similarity` is left out.
    """
    fields = [(name, "<f4", "float") for name in "xyz"] + [(name, "u1", "uchar") for name in ("red", "green", "blue")]
    fields += [("cluster", "<i4", "int")] + ([] if cosine is None else [("similarity", "<f4", "float")])
    rows = np.empty(len(xyz), dtype=[(name, kind) for name, kind, _ in fields])
    for column, name in enumerate("xyz"):
        rows[name] = xyz[:, column].numpy()
    for column, name in enumerate(("red", "green", "blue")):
        rows[name] = color[:, column].numpy()
    rows["cluster"] = cluster.numpy()
    if cosine is not None:
        rows["similarity"] = cosine.numpy()
    properties = "".join(f"property {kind} {name}\n" for name, _, kind in fields)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}end_header\n"
    write_bytes(path, header.encode() + rows.tobytes())


def picture(xyz: Tensor, color: Tensor, cluster: Tensor, cosine: Tensor | None) -> bytes:
    """PNG of a frame from above: principal components, clusters and, where given, similarity; shapes of `write_ply`."""
    from matplotlib.figure import Figure

    place = xyz.numpy()
    window = Window.of(place)
    shown = np.flatnonzero(window.shows(place))
    order = shown[np.argsort(place[shown, 2], kind="stable")]  # higher points are drawn last
    panels = {"principal components": color.numpy() / 255, "clusters": region_colors(cluster.numpy())}
    figure = Figure(figsize=(6.0 * (2 + (cosine is not None)), 6.0), layout="constrained")
    axes = figure.subplots(1, 2 + (cosine is not None), squeeze=False)[0]
    for part, (title, colors) in zip(axes, panels.items(), strict=False):
        part.scatter(place[order, 0], place[order, 1], c=colors[order], s=1.6, linewidths=0)
        part.set_title(title)
    if cosine is not None:
        value = cosine.numpy()[order]
        dots = axes[2].scatter(place[order, 0], place[order, 1], c=value, s=1.6, linewidths=0, vmin=-1, vmax=1)
        axes[2].set_title("similarity to the point")
        figure.colorbar(dots, ax=axes[2])
    for part in axes:
        part.set_xlim(window.x - window.half, window.x + window.half)
        part.set_ylim(window.y - window.half, window.y + window.half)
        part.set_aspect("equal")
        part.set_xlabel("x [m]")
        part.set_ylabel("y [m]")
    return png(figure)
