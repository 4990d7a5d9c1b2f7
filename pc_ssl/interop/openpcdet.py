"""OpenPCDet (open-mmlab/OpenPCDet at 8caccce, Apache-2.0): names of the state dict of a detector.

Kernels are spconv 2's with axes z, y, x, as ours. `USE_CONV_FOR_NO_STRIDE` is not set in its nuScenes configs, so that
the first upsampling layer is a transposed convolution, as ours.
"""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import POINT_KRSC
from pc_ssl.interop.rows import Kind, table

FRAMEWORK = "openpcdet"
HEADS = ("dense_head.", "roi_head.", "point_head.", "pfe.", "global_step")

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
# index 0 of a block is its padding; then convolution, batch norm and ReLU alternate
NECK = """
    backbone_2d.blocks.{s}.{3j+1}   neck.down.{s}.{j}.0  map
    backbone_2d.blocks.{s}.{3j+2}   neck.down.{s}.{j}.1  norm
    backbone_2d.deblocks.{s}.0      neck.up.{s}.0        up
    backbone_2d.deblocks.{s}.1      neck.up.{s}.1        norm
"""
PLAIN = """
    backbone_3d.conv_input   stages.0    first
    backbone_3d.conv1.0      stages.1    layer
    backbone_3d.conv2.0      stages.2    layer
    backbone_3d.conv2.1      stages.3    layer
    backbone_3d.conv2.2      stages.4    layer
    backbone_3d.conv3.0      stages.5    layer
    backbone_3d.conv3.1      stages.6    layer
    backbone_3d.conv3.2      stages.7    layer
    backbone_3d.conv4.0      stages.8    layer
    backbone_3d.conv4.1      stages.9    layer
    backbone_3d.conv4.2      stages.10   layer
    backbone_3d.conv_out     stages.11   layer
"""
RESIDUAL = """
    backbone_3d.conv_input   stages.0    first
    backbone_3d.conv1.0      stages.1    block
    backbone_3d.conv1.1      stages.2    block
    backbone_3d.conv2.0      stages.3    layer
    backbone_3d.conv2.1      stages.4    block
    backbone_3d.conv2.2      stages.5    block
    backbone_3d.conv3.0      stages.6    layer
    backbone_3d.conv3.1      stages.7    block
    backbone_3d.conv3.2      stages.8    block
    backbone_3d.conv4.0      stages.9    layer
    backbone_3d.conv4.1      stages.10   block
    backbone_3d.conv4.2      stages.11   block
    backbone_3d.conv_out     stages.12   layer
"""
PILLARS = """
    vfe.pfn_layers.0.linear  linear      input
    vfe.pfn_layers.0.norm    norm        norm
"""
TWO_LAYERS = """
    vfe.pfn_layers.0.linear  first_layers.0.linear  input
    vfe.pfn_layers.0.norm    first_layers.0.norm    norm
    vfe.pfn_layers.1.linear  linear                 linear
    vfe.pfn_layers.1.norm    norm                   norm
"""

# tools/cfgs/nuscenes_models/cbgs_voxel0075_res3d_centerpoint.yaml, cbgs_pp_multihead.yaml
VOXELS = {"lower": (-54.0, -54.0, -5.0), "upper": (54.0, 54.0, 3.0), "voxel_size": (0.075, 0.075, 0.2)}
PILLAR_GRID = {"lower": (-51.2, -51.2, -5.0), "upper": (51.2, 51.2, 3.0), "voxel_size": (0.2, 0.2, 8.0)}
INPUTS = Inputs(("x", "y", "z", "intensity", "time_lag"), 255.0, "ten sweeps of nuScenes")
CONSTANTS = ("stage_channels", "height_channels")
NORM = {"norm_eps": 1e-3, "norm_momentum": 0.01}
SPARSE = {
    "voxel_features": "mean", "extra_slice": True, "z_paddings": (1, 1, 0, 0), "stage_blocks": (2, 2, 2, 2), **NORM
}  # fmt: skip
LAYOUTS = {Kind.POINT: POINT_KRSC}

VOXEL_BACKBONE = PeerNetwork(
    FRAMEWORK, "VoxelBackBone8x", "SECOND", {"block": "plain", **SPARSE}, table(PLAIN + NECK, first=FIRST, layer=LAYER),
    INPUTS, LAYOUTS, VOXELS, HEADS,
    widths={"stage_channels": (16, 32, 64, 64), "height_channels": 128, "neck_layers": (6, 6)}, fixed=CONSTANTS,
)  # fmt: skip
VOXEL_RES_BACKBONE = PeerNetwork(
    FRAMEWORK, "VoxelResBackBone8x", "SECOND", {"block": "residual", **SPARSE},
    table(RESIDUAL + NECK, first=FIRST, layer=LAYER, block=BLOCK), INPUTS, LAYOUTS, VOXELS, HEADS,
    widths={"neck_layers": (6, 6)}, fixed=CONSTANTS,
)  # fmt: skip
PILLAR_VFE = PeerNetwork(
    FRAMEWORK, "PillarVFE", "PointPillars", {"point_layers": 1, "height_offset": True, "max_points": 20, **NORM},
    table(PILLARS + NECK), INPUTS, LAYOUTS, PILLAR_GRID, HEADS,
)  # fmt: skip
DYNAMIC_PILLAR_VFE = PeerNetwork(
    FRAMEWORK, "DynamicPillarVFE", "PointPillars",
    {"point_layers": 2, "height_offset": True, "max_points": None, **NORM},
    table(TWO_LAYERS + NECK), INPUTS, LAYOUTS, PILLAR_GRID, HEADS,
)  # fmt: skip
NETWORKS = (VOXEL_RES_BACKBONE, VOXEL_BACKBONE, PILLAR_VFE, DYNAMIC_PILLAR_VFE)
