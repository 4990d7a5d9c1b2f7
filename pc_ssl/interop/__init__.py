"""Weights of other frameworks: names, layouts, files, and the proof that outputs are equal."""

from collections.abc import Mapping

from pc_ssl.interop import bevfusion, centerpoint, mmdet3d, openpcdet, slidr, torchsparse
from pc_ssl.interop.convert import Conversion, PeerNetwork, from_peer, to_peer

FRAMEWORKS: Mapping[str, tuple[PeerNetwork, ...]] = {
    "bevfusion": bevfusion.NETWORKS,
    "centerpoint": centerpoint.NETWORKS,
    "clip2scene": slidr.CLIP2SCENE,
    "mmdet3d": mmdet3d.NETWORKS,
    "openpcdet": openpcdet.NETWORKS,
    "slidr": slidr.NETWORKS,
    "torchsparse": torchsparse.NETWORKS,
}

__all__ = ["FRAMEWORKS", "Conversion", "PeerNetwork", "from_peer", "to_peer"]
