"""SLidR (valeoai/SLidR at 14729d0) and CLIP2Scene (runnanchen/CLIP2Scene at f37dae7), both Apache-2.0: MinkUNets.

Kernels are MinkowskiEngine's. The last layer, `final`, and CLIP2Scene's heads are not of the backbone.
"""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import MINKOWSKI, POINT_MATRIX
from pc_ssl.interop.rows import Kind, table

BLOCK = """
    .conv1          .first.convolution  kernel
    .norm1.bn       .first.norm         norm
    .conv2          .second             kernel
    .norm2.bn       .norm               norm
    .downsample.0   .shortcut.0         point
    .downsample.1.bn .shortcut.1        norm
"""
MINKUNET = """
    conv0p1s1       stem.0.convolution  input
    bn0.bn          stem.0.norm         norm
    conv1p1s2       down.0.convolution  kernel
    bn1.bn          down.0.norm         norm
    block1.{j}      encoder.0.{j}       block
    conv2p2s2       down.1.convolution  kernel
    bn2.bn          down.1.norm         norm
    block2.{j}      encoder.1.{j}       block
    conv3p4s2       down.2.convolution  kernel
    bn3.bn          down.2.norm         norm
    block3.{j}      encoder.2.{j}       block
    conv4p8s2       down.3.convolution  kernel
    bn4.bn          down.3.norm         norm
    block4.{j}      encoder.3.{j}       block
    convtr4p16s2    up.0.convolution    kernel
    bntr4.bn        up.0.norm           norm
    block5.{j}      decoder.0.{j}       block
    convtr5p8s2     up.1.convolution    kernel
    bntr5.bn        up.1.norm           norm
    block6.{j}      decoder.1.{j}       block
    convtr6p4s2     up.2.convolution    kernel
    bntr6.bn        up.2.norm           norm
    block7.{j}      decoder.2.{j}       block
    convtr7p2s2     up.3.convolution    kernel
    bntr7.bn        up.3.norm           norm
    block8.{j}      decoder.3.{j}       block
"""
HEADS = ("final.", "local_feature.", "classifier.", "text_embeddings")
LAYOUTS = {Kind.KERNEL: MINKOWSKI, Kind.POINT: POINT_MATRIX}
CYLINDERS = {"stem_layers": 1, "coordinates": "cylindrical", "voxel_features": "first_features", "norm_momentum": 0.05}
CUBES = {"stem_layers": 1, "coordinates": "cartesian", "voxel_features": "first_features", "norm_momentum": 0.02}
ROWS = table(MINKUNET, block=BLOCK)

RES16UNET34C = PeerNetwork(
    "slidr", "Res16UNet34C", "SparseUNet", CYLINDERS, ROWS,
    Inputs(("intensity",), 255.0, "one sweep of nuScenes; voxels of 0.1 m, 1 degree and 0.1 m"), LAYOUTS, heads=HEADS,
    widths={"voxel_size": (0.1, 1.0, 0.1)}, parameter="kernel",
)  # fmt: skip
MINKUNET14A = PeerNetwork(
    "clip2scene", "MinkUNet14A", "SparseUNet", CUBES, ROWS,
    Inputs(("intensity",), 255.0, "voxels of 0.1 m"), LAYOUTS, heads=HEADS,
    widths={
        "voxel_size": (0.1, 0.1, 0.1), "encoder_blocks": (1, 1, 1, 1), "decoder_blocks": (1, 1, 1, 1),
        "decoder_channels": (128, 128, 96, 96),
    }, parameter="kernel",
)  # fmt: skip
NETWORKS = (RES16UNET34C,)
CLIP2SCENE = (MINKUNET14A,)
