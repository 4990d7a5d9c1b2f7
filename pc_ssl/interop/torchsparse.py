"""torchsparse (mit-han-lab/torchsparse at 385f5ce, MIT): SparseResUNet42 of its backbones."""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import POINT_MATRIX, TORCHSPARSE
from pc_ssl.interop.rows import Kind, table

BLOCK = """
    .main.0       .first.convolution  kernel
    .main.1       .first.norm         norm
    .main.3       .second             kernel
    .main.4       .norm               norm
    .shortcut.0   .shortcut.0         point
    .shortcut.1   .shortcut.1         norm
"""
LAYER = """
    .0            .convolution        kernel
    .1            .norm               norm
"""
UNET = """
    stem.0                  stem.0.convolution  input
    stem.1                  stem.0.norm         norm
    stem.3                  stem.1.convolution  kernel
    stem.4                  stem.1.norm         norm
    encoders.{k}.0          down.{k}            layer
    encoders.{k}.{j+1}      encoder.{k}.{j}     block
    decoders.{k}.upsample   up.{k}              layer
    decoders.{k}.fuse.{j}   decoder.{k}.{j}     block
"""
RESUNET42 = PeerNetwork(
    "torchsparse", "SparseResUNet42", "SparseUNet", {"stem_layers": 2, "voxel_features": "first"},
    table(UNET, layer=LAYER, block=BLOCK), Inputs(("x", "y", "z", "intensity"), 1.0, "any voxels"),
    {Kind.KERNEL: TORCHSPARSE, Kind.POINT: POINT_MATRIX},
    widths={"encoder_blocks": (2, 2, 2, 2)}, parameter="kernel",
)  # fmt: skip
NETWORKS = (RESUNET42,)
