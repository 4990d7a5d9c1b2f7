"""The semantic prior of a location as the devkit reads it: an image of the drivable areas and walkways."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from pc_ssl.files import whole_file

PIXELS_PER_METRE = 10
BAND = 2048  # rows that are drawn at a time


def write_map_mask(path: Path, layers: dict[str, Any]) -> None:
    """Draw a map expansion's drivable areas and walkways, 255 on 0, the origin in the lower left corner, as a gray PNG.

    The image is drawn and compressed band by band: a map of many scenes has billions of pixels.
    """
    rings = _rings(layers)
    corner = np.max([ring.max(0) for exterior, holes in rings for ring in (exterior, *holes)], 0)
    width, height = (int(np.ceil(edge)) + 1 for edge in corner * PIXELS_PER_METRE)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        packer = zlib.compressobj(1)
        for top in range(0, height, BAND):
            rows = min(BAND, height - top)
            band = np.zeros((rows, width + 1), np.uint8)  # the first byte of a row is PNG's filter type: none
            _draw(band[:, 1:], rings, height - top)
            data = packer.compress(band.tobytes())
            if data:
                _chunk(file, b"IDAT", data)
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")


def _rings(layers: dict[str, Any]) -> list[tuple[NDArray, list[NDArray]]]:
    """Exterior and holes, [N, 2] metres, of every polygon of the drivable areas and walkways."""
    node = {record["token"]: (record["x"], record["y"]) for record in layers["node"]}
    polygon = {record["token"]: record for record in layers["polygon"]}
    tokens = [token for record in layers["drivable_area"] for token in record["polygon_tokens"]]
    tokens += [record["polygon_token"] for record in layers["walkway"]]
    return [
        (
            np.array([node[token] for token in polygon[name]["exterior_node_tokens"]]),
            [np.array([node[token] for token in hole["node_tokens"]]) for hole in polygon[name]["holes"]],
        )
        for name in tokens
    ]


def _draw(band: NDArray[np.uint8], rings: list[tuple[NDArray, list[NDArray]]], top: float) -> None:
    """Draw into rows whose upper edge is `top` pixels above the origin."""
    canvas = np.ascontiguousarray(band)
    for exterior, holes in rings:
        low, high = exterior[:, 1].min() * PIXELS_PER_METRE, exterior[:, 1].max() * PIXELS_PER_METRE
        if high < top - len(band) or low > top:
            continue
        outlines = [
            np.round(ring * PIXELS_PER_METRE * [1, -1] + [0, top]).astype(np.int32) for ring in (exterior, *holes)
        ]
        cv2.fillPoly(canvas, outlines, 255)
    band[:] = canvas


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
