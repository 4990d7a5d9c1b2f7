"""mmdet3d (open-mmlab/mmdetection3d at fe25f7a, Apache-2.0): names of the state dict of a model.

The SECOND family has spconv 2's kernels with axes z, y, x; MinkUNet and the BEVFusion project x, y, z, and the latter's
maps have rows along x. Its loading hook permutes kernels of a plain dict as if they were spconv 1's; `files.py` writes
the version that stops it.
"""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import FLAT_UP, KRSC_XYZ, MAP_XY, POINT_KRSC
from pc_ssl.interop.rows import Kind, table

FRAMEWORK = "mmdet3d"
HEADS = ("pts_bbox_head.", "bbox_head.", "img_backbone.", "img_neck.", "view_transform.", "fusion_layer.",
         "decode_head.", "data_preprocessor.", "auxiliary_head.")  # fmt: skip

LAYER = """
    .0             .convolution        kernel
    .1             .norm               norm
"""
FIRST = """
    .0             .convolution        input
    .1             .norm               norm
"""
BLOCK = """
    .conv1         .first.convolution  kernel
    .bn1           .first.norm         norm
    .conv2         .second             kernel
    .bn2           .norm               norm
    .downsample.0  .shortcut.0         point
    .downsample.1  .shortcut.1         norm
"""
MINKUNET = """
    backbone.conv_input.0      stem.0               first
    backbone.conv_input.{i}    stem.{i}             layer
    backbone.encoder.{i}.0     down.{i}             layer
    backbone.encoder.{i}.{j+1} encoder.{i}.{j}      block
    backbone.decoder.{i}.0     up.{i}               layer
    backbone.decoder.{i}.1.{j} decoder.{i}.{j}      block
"""
# the strided layer is the last of each stage
RESIDUAL = """
    pts_middle_encoder.conv_input                      stages.0    first
    pts_middle_encoder.encoder_layers.encoder_layer1.0 stages.1    block
    pts_middle_encoder.encoder_layers.encoder_layer1.1 stages.2    block
    pts_middle_encoder.encoder_layers.encoder_layer1.2 stages.3    layer
    pts_middle_encoder.encoder_layers.encoder_layer2.0 stages.4    block
    pts_middle_encoder.encoder_layers.encoder_layer2.1 stages.5    block
    pts_middle_encoder.encoder_layers.encoder_layer2.2 stages.6    layer
    pts_middle_encoder.encoder_layers.encoder_layer3.0 stages.7    block
    pts_middle_encoder.encoder_layers.encoder_layer3.1 stages.8    block
    pts_middle_encoder.encoder_layers.encoder_layer3.2 stages.9    layer
    pts_middle_encoder.encoder_layers.encoder_layer4.0 stages.10   block
    pts_middle_encoder.encoder_layers.encoder_layer4.1 stages.11   block
    pts_middle_encoder.conv_out                        stages.12   layer
"""
PLAIN = """
    pts_middle_encoder.conv_input                      stages.0    first
    pts_middle_encoder.encoder_layers.encoder_layer1.0 stages.1    layer
    pts_middle_encoder.encoder_layers.encoder_layer2.0 stages.2    layer
    pts_middle_encoder.encoder_layers.encoder_layer2.1 stages.3    layer
    pts_middle_encoder.encoder_layers.encoder_layer2.2 stages.4    layer
    pts_middle_encoder.encoder_layers.encoder_layer3.0 stages.5    layer
    pts_middle_encoder.encoder_layers.encoder_layer3.1 stages.6    layer
    pts_middle_encoder.encoder_layers.encoder_layer3.2 stages.7    layer
    pts_middle_encoder.encoder_layers.encoder_layer4.0 stages.8    layer
    pts_middle_encoder.encoder_layers.encoder_layer4.1 stages.9    layer
    pts_middle_encoder.encoder_layers.encoder_layer4.2 stages.10   layer
    pts_middle_encoder.conv_out                        stages.11   layer
"""
NECK = """
    pts_backbone.blocks.{s}.{3j}      neck.down.{s}.{j}.0  map
    pts_backbone.blocks.{s}.{3j+1}    neck.down.{s}.{j}.1  norm
    pts_neck.deblocks.0.0             neck.up.0.0          flat_up
    pts_neck.deblocks.{s}.0           neck.up.{s}.0        up
    pts_neck.deblocks.{s}.1           neck.up.{s}.1        norm
"""
# Upsampling by 1 / 2, 1 and 2: the second is the 1 x 1 convolution
PILLARS = """
    pts_voxel_encoder.pfn_layers.0.linear  linear          input
    pts_voxel_encoder.pfn_layers.0.norm    norm            norm
    pts_backbone.blocks.{s}.{3j}      neck.down.{s}.{j}.0  map
    pts_backbone.blocks.{s}.{3j+1}    neck.down.{s}.{j}.1  norm
    pts_neck.deblocks.1.0             neck.up.1.0          flat_up
    pts_neck.deblocks.{s}.0           neck.up.{s}.0        up
    pts_neck.deblocks.{s}.1           neck.up.{s}.1        norm
"""

# configs/_base_/models/centerpoint_voxel01_second_secfpn_nus.py, centerpoint_pillar02_second_secfpn_nus.py
VOXELS = {"lower": (-51.2, -51.2, -5.0), "upper": (51.2, 51.2, 3.0), "voxel_size": (0.1, 0.1, 0.2)}
FINE = {"lower": (-54.0, -54.0, -5.0), "upper": (54.0, 54.0, 3.0), "voxel_size": (0.075, 0.075, 0.2)}
PILLAR_GRID = {"lower": (-51.2, -51.2, -5.0), "upper": (51.2, 51.2, 3.0), "voxel_size": (0.2, 0.2, 8.0)}
INPUTS = Inputs(("x", "y", "z", "intensity", "time_lag"), 255.0, "ten sweeps of nuScenes")
NORM = {"norm_eps": 1e-3, "norm_momentum": 0.01}
SPARSE = {
    "voxel_features": "mean", "extra_slice": True, "z_paddings": (1, 1, 0, 0), "stage_blocks": (2, 2, 2, 2), **NORM
}  # fmt: skip
LAYOUTS = {Kind.POINT: POINT_KRSC, Kind.FLAT_UP: FLAT_UP}
LAYOUTS_XYZ = {Kind.KERNEL: KRSC_XYZ, Kind.POINT: POINT_KRSC, Kind.FLAT_UP: FLAT_UP, Kind.MAP: MAP_XY}
PARTS = {"first": FIRST, "layer": LAYER, "block": BLOCK}

MINKUNET_BACKBONE = PeerNetwork(
    FRAMEWORK, "MinkUNetBackbone", "SparseUNet", {"stem_layers": 2, "voxel_features": "first"},
    table(MINKUNET, **PARTS),
    Inputs(("x", "y", "z", "intensity"), 1.0, "SemanticKITTI; voxels of 0.05 m from the smallest coordinates on"),
    LAYOUTS_XYZ, heads=HEADS, prefix="backbone.",
    widths={"voxel_size": (0.05, 0.05, 0.05), "encoder_blocks": (2, 3, 4, 6)},
)  # fmt: skip
RESIDUAL_ENCODER = PeerNetwork(
    FRAMEWORK, "SparseEncoder-basicblock", "SECOND", {"block": "residual", **SPARSE}, table(RESIDUAL + NECK, **PARTS),
    INPUTS, LAYOUTS, VOXELS, HEADS, widths={"neck_layers": (6, 6)},
)  # fmt: skip
PLAIN_ENCODER = PeerNetwork(
    FRAMEWORK, "SparseEncoder", "SECOND", {"block": "plain", **SPARSE}, table(PLAIN + NECK, **PARTS), INPUTS, LAYOUTS,
    VOXELS, HEADS,
    widths={"stage_channels": (16, 32, 64, 64), "height_channels": 128, "neck_layers": (6, 6)},
)  # fmt: skip
BEVFUSION_ENCODER = PeerNetwork(
    FRAMEWORK, "BEVFusionSparseEncoder", "SECOND", {"block": "residual", **SPARSE}, table(RESIDUAL + NECK, **PARTS),
    INPUTS, LAYOUTS_XYZ, FINE, HEADS, widths={"neck_layers": (6, 6)},
)  # fmt: skip
PILLAR_FEATURE_NET = PeerNetwork(
    FRAMEWORK, "PillarFeatureNet", "PointPillars",
    {"point_layers": 1, "height_offset": True, "max_points": 20, **NORM}, table(PILLARS), INPUTS, LAYOUTS, PILLAR_GRID,
    HEADS,
)  # fmt: skip
NETWORKS = (RESIDUAL_ENCODER, PLAIN_ENCODER, BEVFUSION_ENCODER, PILLAR_FEATURE_NET, MINKUNET_BACKBONE)
