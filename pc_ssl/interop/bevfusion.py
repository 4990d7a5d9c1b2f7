"""BEVFusion (mit-han-lab/bevfusion at 326653d, Apache-2.0): the LiDAR branch and the decoder of its detectors.

Kernels are spconv 1's, [k, k, k, in, out] with axes x, y, z, and maps have rows along x. In a fusion model the decoder
takes the fused map; its names are the same.
"""

from __future__ import annotations

from pc_ssl.interop.convert import Inputs, PeerNetwork
from pc_ssl.interop.layouts import FLAT_UP, MAP_XY, RSCK_XYZ
from pc_ssl.interop.rows import Kind, table

FRAMEWORK = "bevfusion"
HEADS = ("encoders.camera.", "fuser.", "heads.")

LAYER = """
    .0       .convolution        kernel
    .1       .norm               norm
"""
FIRST = """
    .0       .convolution        input
    .1       .norm               norm
"""
BLOCK = """
    .conv1   .first.convolution  kernel
    .bn1     .first.norm         norm
    .conv2   .second             kernel
    .bn2     .norm               norm
"""
# the strided layer is the last of each stage
RESIDUAL = """
    encoders.lidar.backbone.conv_input                      stages.0    first
    encoders.lidar.backbone.encoder_layers.encoder_layer1.0 stages.1    block
    encoders.lidar.backbone.encoder_layers.encoder_layer1.1 stages.2    block
    encoders.lidar.backbone.encoder_layers.encoder_layer1.2 stages.3    layer
    encoders.lidar.backbone.encoder_layers.encoder_layer2.0 stages.4    block
    encoders.lidar.backbone.encoder_layers.encoder_layer2.1 stages.5    block
    encoders.lidar.backbone.encoder_layers.encoder_layer2.2 stages.6    layer
    encoders.lidar.backbone.encoder_layers.encoder_layer3.0 stages.7    block
    encoders.lidar.backbone.encoder_layers.encoder_layer3.1 stages.8    block
    encoders.lidar.backbone.encoder_layers.encoder_layer3.2 stages.9    layer
    encoders.lidar.backbone.encoder_layers.encoder_layer4.0 stages.10   block
    encoders.lidar.backbone.encoder_layers.encoder_layer4.1 stages.11   block
    encoders.lidar.backbone.conv_out                        stages.12   layer
    decoder.backbone.blocks.{s}.{3j}      neck.down.{s}.{j}.0  map
    decoder.backbone.blocks.{s}.{3j+1}    neck.down.{s}.{j}.1  norm
    decoder.neck.deblocks.0.0             neck.up.0.0          flat_up
    decoder.neck.deblocks.{s}.0           neck.up.{s}.0        up
    decoder.neck.deblocks.{s}.1           neck.up.{s}.1        norm
"""

# configs/nuscenes/det/transfusion/secfpn/lidar/voxelnet_0p075.yaml
VOXELS = {"lower": (-54.0, -54.0, -5.0), "upper": (54.0, 54.0, 3.0), "voxel_size": (0.075, 0.075, 0.2)}
LIDAR_BRANCH = PeerNetwork(
    FRAMEWORK, "SparseEncoder", "SECOND",
    {
        "block": "residual", "voxel_features": "mean", "extra_slice": True, "z_paddings": (1, 1, 0, 0),
        "stage_blocks": (2, 2, 2, 2), "norm_eps": 1e-3, "norm_momentum": 0.01,
    },
    table(RESIDUAL, first=FIRST, layer=LAYER, block=BLOCK),
    Inputs(
        ("x", "y", "z", "intensity", "time_lag"), 255.0, "ten sweeps of nuScenes; its heads read maps with rows along x"
    ),
    {Kind.KERNEL: RSCK_XYZ, Kind.FLAT_UP: FLAT_UP, Kind.MAP: MAP_XY}, VOXELS, HEADS, widths={"neck_layers": (6, 6)},
)  # fmt: skip
NETWORKS = (LIDAR_BRANCH,)
