"""Every method on a real keyframe and in a real room; both recordings are not part of the project."""

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pc_ssl.cli.app import app
from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache, Manifest, encode_frame, write_frame, write_manifest
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.facts import facts_of
from pc_ssl.data.sampler import Draw
from pc_ssl.methods.bev_contrast import BEVContrast
from pc_ssl.methods.fac import FAC
from pc_ssl.methods.point_contrast import PointContrast
from pc_ssl.methods.seg_contrast import SegContrast
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.models.networks import grids_of
from pc_ssl.views.foreground import ForegroundViews
from pc_ssl.views.lidar import Augmentation, PairViews
from pc_ssl.views.scan_pairs import ScanPairViews

pytestmark = pytest.mark.slow

PREPARE = {
    "street": ["nuscenes", "--version", "v1.0-mini", "--split", "mini_train", "--regions", "vccs,dbscan,dbscan3d,slic"],
    "room": ["scannet", "--regions", "vccs,graph"],
}
ROOT = {"street": "nuscenes-real", "room": "scannet-real"}
VOXEL_M = {"street": 0.2, "room": 0.05}
CONFIGS = Path(__file__).parents[2] / "configs"
TWO_STAGES = [("demo/bev_prc.py", ["demo/bev_rad.py"])]
TWO_STAGES += [("smoke/prc_second.py", ["smoke/rad_second.py", "smoke/bev_distill_second.py"])]
SMALL = {
    "room": ["demo/room_fac.py", "demo/room_point_contrast.py"],
    "street": [f"demo/{name}.py" for name in ("bev_detection", "clip2scene", "fac", "point_contrast", "ppkt", "prc")]
    + [f"smoke/{name}.py" for name in ("fac_unet", "point_contrast_unet", "ppkt_unet", "prc_unet", "scalr_unet")]
    + ["demo/seg_contrast.py", "demo/slidr.py", "smoke/seg_contrast_unet.py", "smoke/sim_ipu_second.py"]
    + ["smoke/slidr_unet.py"],
}


@pytest.fixture(scope="module", params=list(PREPARE))
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Cache]:
    if "PC_SSL_REAL_DATA" not in os.environ:
        pytest.skip("PC_SSL_REAL_DATA is not set to a folder with nuscenes-real/ and scannet-real/")
    root, out = Path(os.environ["PC_SSL_REAL_DATA"]) / ROOT[request.param], tmp_path_factory.mktemp("real") / "cache"
    result = CliRunner().invoke(app, ["prepare", *PREPARE[request.param], "--root", str(root), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return request.param, Cache(out)


def backbone(kind: str, cache: Cache) -> nn.Module:
    features = cache[0]["points"].shape[1] - 3
    return SparseUNet((VOXEL_M[kind],) * 3, features, 8, (8, 16, 32), (1, 1, 1), (32, 16, 16), (1, 1, 1))


def five_steps(method: Any, cache: Cache, region: str | None, steps: int = 5) -> None:
    scenes = CacheScenes(cache, range(len(cache)), region, method.views, grids=grids_of(method))
    batch = method.collate([scenes[Draw(row, 0, 0)] for row in range(len(cache))])
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(steps):
        terms = method(batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert all(np.isfinite(losses))
    assert 0 < losses[-1] < losses[0], losses


def halves(cache: Cache, folder: Path) -> Cache:
    """Two scans out of one: every other point each, as there is but one keyframe."""
    frame, entries = cache[0], []
    for part in (0, 1):
        names = ("points", "ground", "ego_pose", "global_from_lidar")
        tensors = {name: frame[name].numpy()[part::2] if name in names[:2] else frame[name].numpy() for name in names}
        entries.append(write_frame(folder, "halves", f"half-{part}", part, encode_frame(tensors)))
    classes = {"label": ["ignore"], "box": []}
    write_manifest(folder, Manifest("halves", "test", {}, classes, {"train": ["halves"]}, entries, cache.columns))
    return Cache(folder)


def test_fac(recording: tuple[str, Cache]) -> None:
    kind, cache = recording
    for region in ["vccs"] if kind == "street" else ["vccs", "graph"]:
        torch.manual_seed(0)
        five_steps(FAC(backbone(kind, cache), ForegroundViews(Augmentation(shift=0.0))), cache, region)


def test_point_contrast(recording: tuple[str, Cache]) -> None:
    kind, cache = recording
    for loss in ("point_info_nce", "hardest_contrastive"):
        torch.manual_seed(0)
        views = PairViews(Augmentation(shift=0.0), 0, 2048, keep=0.8)
        five_steps(PointContrast(backbone(kind, cache), views, loss=loss), cache, None)


def test_seg_contrast(recording: tuple[str, Cache]) -> None:
    kind, cache = recording
    views = PairViews(Augmentation(shift=0.0), 20_000, keep=0.8)
    torch.manual_seed(0)
    # next to no queue: of one frame alone, it would fill with the very segments that are to be found; without dropout,
    # whose noise is larger than what five steps learn
    method = SegContrast(backbone(kind, cache), views, queue_size=1, dropout=0.0)
    five_steps(method, cache, "dbscan3d" if kind == "street" else "graph")


def test_bev_contrast(recording: tuple[str, Cache], tmp_path: Path) -> None:
    kind, cache = recording
    torch.manual_seed(0)
    views = ScanPairViews(
        Augmentation(shift=0.0), cell_size=0.6 if kind == "street" else 0.2, cells=1024, keyframes_apart=1
    )
    five_steps(BEVContrast(backbone(kind, cache), views), halves(cache, tmp_path / "halves"), None)


def test_small_configs(recording: tuple[str, Cache], clip_folder: Path) -> None:
    kind, cache = recording
    for path in SMALL[kind]:
        overrides = [f"method.clip.folder={clip_folder}"] if "clip2scene" in path else []
        overrides += ["method.queue_size=1", "method.dropout=0.0"] if "seg_contrast" in path else []  # as above
        config = load_config(CONFIGS / path, overrides)
        torch.manual_seed(0)
        five_steps(config.build(config.kind, facts_of(cache)), cache, config.region)


def test_a_pretrained_teacher_teaches_the_cameras(recording: tuple[str, Cache]) -> None:
    kind, cache = recording
    if kind == "room":
        pytest.skip("the recorded room has no images")
    for first, others in TWO_STAGES:
        config = load_config(CONFIGS / first)
        torch.manual_seed(0)
        lidar = config.build("method", facts_of(cache))
        five_steps(lidar, cache, config.region, steps=15)
        for path in others:
            config = load_config(CONFIGS / path)
            camera = config.build("method", facts_of(cache))
            camera.teacher.load_state_dict(lidar.backbone.state_dict())
            before = copy.deepcopy(camera.teacher.state_dict())
            five_steps(camera, cache, config.region)
            assert all(torch.equal(value, before[name]) for name, value in camera.teacher.state_dict().items())
