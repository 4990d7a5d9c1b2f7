"""Every config file loads and builds; those for a CPU take two steps."""

import math
from pathlib import Path

import pytest
import torch

from pc_ssl.config import RunConfig, load_config
from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.facts import facts_of, facts_of_data_set
from pc_ssl.data.sampler import StepBatches
from pc_ssl.derived import Facts
from pc_ssl.engine.options import TrainOptions
from pc_ssl.models.networks import grids_of
from pc_ssl.taxonomies import KITTI, SCANNET

ROOT = Path(__file__).parents[1] / "configs"
ALL = sorted(path for path in ROOT.rglob("*.py") if path.parent.name not in ("_base_", "plans", "tables"))
SMALL = [path for path in ALL if path.parent.name in ("smoke", "demo", "proof")]
WAYMARKS = ("published", "prototype", "ours")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(path: Path, clip_folder: Path, image_folders: dict[str, Path]) -> RunConfig:
    """A config; a CLIP of its own folder and image networks of the hub are replaced by tiny ones."""
    values = load_config(path).flat()
    overrides = [f"{key}={clip_folder}" for key in values if key == "method.clip.folder"]
    overrides += [f"{key}={image_folders[value]}" for key, value in values.items() if key.endswith(".source")]
    return load_config(path, overrides)


def meta_device(config: RunConfig) -> torch.nn.Module:
    """Full-size networks are built without memory."""
    with torch.device("meta"):
        return config.build(config.kind, facts_for(config.path))


def facts_for(path: Path) -> Facts:
    """Of the data set that the config is for, which its name says."""
    return facts_of_data_set("scannet", 6) if "scannet" in path.name else facts_of_data_set("nuscenes", 2)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_config_builds(path: Path, clip_folder: Path, image_folders: dict[str, Path]) -> None:
    config = load(path, clip_folder, image_folders)
    module = meta_device(config)
    assert isinstance(config.build("train"), TrainOptions)
    assert sum(p.numel() for p in module.get_submodule("backbone").parameters()) > 0
    assert config.region is None or config.kind == "method"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_config_says_what_it_is_for_and_how_it_is_run(path: Path) -> None:
    docstring = path.read_text().split('"""')[1]
    assert "pc-ssl " in docstring or "pc_ssl.cli" in docstring
    assert path.name in docstring


@pytest.mark.parametrize("path", [p for p in ALL if p.parent.name in ("pretrain", "downstream")], ids=name)
def test_full_size_config_says_where_its_values_come_from(path: Path) -> None:
    assert any(word in path.read_text() for word in WAYMARKS)


@pytest.mark.parametrize("path", SMALL, ids=name)
def test_small_config_takes_two_steps(
    path: Path, street_cache: Cache, room_cache: Cache, clip_folder: Path, image_folders: dict[str, Path]
) -> None:
    config = load(path, clip_folder, image_folders)
    cache = room_cache if path.name.startswith("room_") else street_cache
    torch.manual_seed(0)
    module = config.build(config.kind, facts_of(cache))
    rows = cache.indices("train")
    scenes = CacheScenes(cache, rows, config.region, module.views, config.transforms, grids_of(module))
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3)
    losses = []
    for draws in StepBatches(len(rows), 2, 0, 0, 2):
        loss = module(module.collate([scenes[draw] for draw in draws]))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert [name for name, p in trained.items() if p.grad is None] == []  # several processes would wait for it
    assert all(map(math.isfinite, losses))
    assert losses[0] != losses[1]


@pytest.mark.parametrize("path", ALL, ids=name)
def test_no_config_types_what_follows_from_the_data_or_from_another_part(path: Path) -> None:
    derived = {"in_channels", "num_classes", "class_names", "classes", "point_features", "reach", "lidar_channels"}
    typed = {key.rsplit(".", 1)[-1] for key in load_config(path).flat()} & derived
    assert not typed


def test_the_classes_of_a_task_are_those_of_the_data() -> None:
    config = load_config(Path("det_scannet_unet"))
    with torch.device("meta"):
        assert config.build("task", facts_of_data_set("scannet", 6)).class_names == SCANNET.box_classes
        assert config.build("task", facts_of_data_set("kitti", 1)).class_names == KITTI.box_classes
        segmentation = load_config(Path("seg_nuscenes_unet"))
        for data_set, classes in (("nuscenes", 16), ("scannet", 20)):
            assert segmentation.build("task", facts_of_data_set(data_set, 1)).head.out_features == classes


@pytest.mark.parametrize("path", [p for p in ALL if p.parent.name == "downstream"], ids=name)
def test_every_downstream_config_names_its_rule_of_labels(path: Path) -> None:
    rule = load_config(path).values["label_rule"]
    expected = "scannet" if "scannet" in path.name else "slidr" if path.name.startswith("seg_") else "calico"
    assert rule == expected
