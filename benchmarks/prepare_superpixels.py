"""SLIC superpixels against their peers, interleaved in one process, and what they add to preparing a keyframe.

    python benchmarks/prepare_superpixels.py --root nuscenes --version v1.0-mini --json work_dirs/bench/superpixels.json

The images are those of the first keyframes of a nuScenes root. Each round cuts one image with every candidate once, in
turn, on one thread; times are medians over all images and rounds. scikit-image runs at SLidR's setting (150 segments,
compactness 6, sigma 3), fast-slic at the same number and compactness. Peers take part where they are installed
(pip install scikit-image fast-slic). Quality, means over the images:

    explained variation   share of the variance of the original image's Lab colours that the segments' means explain
    boundary recall       share of the image's Canny edges with a segment's border at most 2 pixels away

Both rise with the number of segments, and each candidate makes as many as it does; so ours runs a second time with
fewer segments than scikit-image makes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.nuscenes import NuScenesReader
from data_prep.options import choose_stages
from data_prep.reader import Source
from data_prep.superpixels.colour import lab_of
from data_prep.superpixels.slic import SlicSuperpixels
from pc_ssl.data.cache import encode_frame
from pc_ssl.data.images import decode_image
from pc_ssl.files import write_json

Cut = Callable[[NDArray[np.uint8]], NDArray]

OURS, FEWER = "ours", "ours, fewer"
SEGMENTS, COMPACTNESS, SIGMA = 150, 6.0, 3.0  # SLidR
FEWER_SEGMENTS = 88  # asked for, so that fewer come out than of scikit-image at 150
EDGE_SIGMA, EDGE_LOW, EDGE_HIGH = 1.4, 50, 100  # of Canny on the grey image
TOLERANCE = 2  # pixels
KEYFRAMES, PROCESSES = 34_149, 16  # of nuScenes' trainval, and of the machine that the hours are projected for


@dataclass(frozen=True)
class Row:
    """One candidate, over all images."""

    name: str
    median_ms: float
    segments: float
    explained_variation: float
    boundary_recall: float

    def __str__(self) -> str:
        hours = 6 * KEYFRAMES * self.median_ms / 3.6e6 / PROCESSES
        return (
            f"{self.name:14} {self.median_ms:8.1f} ms  {self.segments:6.1f} segments  explained variation "
            f"{self.explained_variation:.4f}  boundary recall {self.boundary_recall:.4f}  {hours:6.2f} h for nuScenes"
        )


def candidates() -> dict[str, Cut]:
    """Everything that cuts an image, ours first."""
    ours, fewer = SlicSuperpixels(SEGMENTS, COMPACTNESS, SIGMA), SlicSuperpixels(FEWER_SEGMENTS, COMPACTNESS, SIGMA)
    cuts: dict[str, Cut] = {OURS: lambda image: ours(image, ""), FEWER: lambda image: fewer(image, "")}
    try:
        from skimage.segmentation import slic
    except ImportError:
        print("scikit-image is not installed: one peer less")
    else:
        cuts["scikit-image"] = lambda image: slic(
            image, n_segments=SEGMENTS, compactness=COMPACTNESS, sigma=SIGMA, start_label=0
        )
    try:
        from fast_slic.avx2 import SlicAvx2
    except ImportError:
        print("fast-slic is not installed: one peer less")
    else:
        cuts["fast-slic"] = lambda image: SlicAvx2(num_components=SEGMENTS, compactness=COMPACTNESS).iterate(image)
    return cuts


def explained_variation(image: NDArray[np.uint8], label: NDArray) -> float:
    """Moore et al., "Superpixel Lattices", CVPR 2008, in Lab."""
    colour = lab_of(image, 0.0, 1).reshape(3, -1).astype(np.float64)
    flat = np.unique(label, return_inverse=True)[1].ravel()
    count = np.bincount(flat)
    within = sum(((plane - (np.bincount(flat, plane) / count)[flat]) ** 2).sum() for plane in colour)
    return float(1 - within / ((colour - colour.mean(axis=1, keepdims=True)) ** 2).sum())


def boundary_recall(image: NDArray[np.uint8], label: NDArray) -> float:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), EDGE_SIGMA)
    edge = cv2.Canny(grey, EDGE_LOW, EDGE_HIGH) > 0
    border = np.zeros(label.shape, np.uint8)
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    border[1:] |= label[1:] != label[:-1]
    near = cv2.dilate(border, np.ones((2 * TOLERANCE + 1,) * 2, np.uint8)) > 0
    return float(near[edge].mean())


def compare(images: Sequence[NDArray[np.uint8]], rounds: int) -> list[Row]:
    cuts = candidates()
    times: dict[str, list[float]] = {name: [] for name in cuts}
    quality: dict[str, list[tuple[int, float, float]]] = {name: [] for name in cuts}
    for cut in cuts.values():
        cut(images[0])  # compiles
    for turn in range(rounds):
        for image in images:
            for name, cut in cuts.items():
                begin = time.perf_counter()
                label = cut(image)
                times[name].append(time.perf_counter() - begin)
                if turn == 0:
                    found = len(np.unique(label)), explained_variation(image, label), boundary_recall(image, label)
                    quality[name].append(found)
    return [
        Row(name, 1e3 * statistics.median(times[name]), *(float(mean) for mean in np.mean(quality[name], axis=0)))
        for name in cuts
    ]


def keyframe_seconds(source: Source, regions: tuple[str, ...], classes: Sequence[str], rounds: int) -> float:
    """Median time of one keyframe from its files to the bytes of the cache's file, on one core."""
    stages = choose_stages(regions=regions, classes=classes)
    taken = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        encode_frame(stages(source.read()))
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--keyframes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    reader = NuScenesReader(options.root, options.version, sweeps=1)
    sources = [reader.source(frame) for frame in reader.frames(None)[: options.keyframes]]
    images = [
        decode_image(np.frombuffer(content, np.uint8))
        for source in sources
        for content in source.read().images.values()
    ]
    rows = compare(images, options.rounds)
    print(f"{len(images)} images of {images[0].shape[1]}x{images[0].shape[0]}, one thread")
    print("\n".join(map(str, rows)))
    ours = rows[0]
    for peer in rows[2:]:
        print(f"{peer.median_ms / ours.median_ms:.1f} times as fast as {peer.name}")
    seconds = {
        " + ".join(regions): keyframe_seconds(sources[0], regions, reader.classes()["label"], options.rounds)
        for regions in (("dbscan",), ("dbscan", "slic"))
    }
    for name, taken in seconds.items():
        print(f"whole keyframe with {name}: {1e3 * taken:.0f} ms a core")
    write_json(options.json, {"candidates": [asdict(row) for row in rows], "keyframe_seconds": seconds})


if __name__ == "__main__":
    main()
