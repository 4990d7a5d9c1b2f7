"""CenterPoint, also det3d (tianweiy/CenterPoint at 3cf7d87, MIT): names of the state dict of a detector.

Kernels are spconv 2's with axes z, y, x, as ours. Upsampling by 1 is a 1 x 1 convolution.
"""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import FLAT_UP, POINT_KRSC
from pc_ssl.interop.rows import Kind, table

FRAMEWORK = "centerpoint"
HEADS = ("bbox_head.", "second_stage.", "roi_head.")

LAYER = """
    .0       .convolution        kernel
    .1       .norm               norm
"""
FIRST = """
    .0       .convolution        input
    .1       .norm               norm
"""
BLOCK = """
    .conv1   .first.convolution  biased_kernel
    .bn1     .first.norm         norm
    .conv2   .second             biased_kernel
    .bn2     .norm               norm
"""
RESIDUAL = """
    backbone.conv_input    stages.0                first
    backbone.conv1.0       stages.1                block
    backbone.conv1.1       stages.2                block
    backbone.conv2         stages.3                layer
    backbone.conv2.3       stages.4                block
    backbone.conv2.4       stages.5                block
    backbone.conv3         stages.6                layer
    backbone.conv3.3       stages.7                block
    backbone.conv3.4       stages.8                block
    backbone.conv4         stages.9                layer
    backbone.conv4.3       stages.10               block
    backbone.conv4.4       stages.11               block
    backbone.extra_conv    stages.12               layer
    neck.blocks.{s}.{3j+1} neck.down.{s}.{j}.0     map
    neck.blocks.{s}.{3j+2} neck.down.{s}.{j}.1     norm
    neck.deblocks.0.0      neck.up.0.0             flat_up
    neck.deblocks.{s}.0    neck.up.{s}.0           up
    neck.deblocks.{s}.1    neck.up.{s}.1           norm
"""
# Upsampling by 1 / 2, 1 and 2: the second is the 1 x 1 convolution
PILLARS = """
    reader.pfn_layers.0.linear  linear             input
    reader.pfn_layers.0.norm    norm               norm
    neck.blocks.{s}.{3j+1}      neck.down.{s}.{j}.0  map
    neck.blocks.{s}.{3j+2}      neck.down.{s}.{j}.1  norm
    neck.deblocks.1.0           neck.up.1.0        flat_up
    neck.deblocks.{s}.0         neck.up.{s}.0      up
    neck.deblocks.{s}.1         neck.up.{s}.1      norm
"""

# configs/nusc/voxelnet/nusc_centerpoint_voxelnet_0075voxel_fix_bn_z.py, configs/nusc/pp
VOXELS = {"lower": (-54.0, -54.0, -5.0), "upper": (54.0, 54.0, 3.0), "voxel_size": (0.075, 0.075, 0.2)}
PILLAR_GRID = {"lower": (-51.2, -51.2, -5.0), "upper": (51.2, 51.2, 3.0), "voxel_size": (0.2, 0.2, 8.0)}
INPUTS = Inputs(("x", "y", "z", "intensity", "time_lag"), 255.0, "ten sweeps of nuScenes")
CONSTANTS = ("stage_channels", "height_channels")
NORM = {"norm_eps": 1e-3, "norm_momentum": 0.01}
LAYOUTS = {Kind.POINT: POINT_KRSC, Kind.FLAT_UP: FLAT_UP}

RESNET = PeerNetwork(
    FRAMEWORK, "SpMiddleResNetFHD", "SECOND",
    {
        "block": "residual", "voxel_features": "mean", "extra_slice": True, "z_paddings": (1, 1, 0, 0),
        "stage_blocks": (2, 2, 2, 2), **NORM,
    },
    table(RESIDUAL, first=FIRST, layer=LAYER, block=BLOCK), INPUTS, LAYOUTS, VOXELS, HEADS,
    widths={"neck_layers": (6, 6)}, fixed=CONSTANTS,
)  # fmt: skip
PILLAR_FEATURE_NET = PeerNetwork(
    FRAMEWORK, "PillarFeatureNet", "PointPillars",
    {"point_layers": 1, "height_offset": False, "max_points": 20, **NORM}, table(PILLARS), INPUTS, LAYOUTS, PILLAR_GRID,
    HEADS,
)  # fmt: skip
NETWORKS = (RESNET, PILLAR_FEATURE_NET)
