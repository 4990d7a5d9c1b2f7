"""The worked examples of CONTRIBUTING.md do what it says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_prep.cache_folder import CacheFolder
from data_prep.options import choose_stages
from data_prep.pipeline import prepare
from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.errors import UserError
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.lidar import Augmentation, PairViews

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that the code blocks define; each block is a module of its own, as it would be in the project."""
    import importlib.util
    import sys

    names: dict[str, Any] = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)):
        path = tmp_path_factory.mktemp("examples") / f"contributing_example_{number}.py"
        path.write_text(block)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        names |= vars(module)
    return names


def test_the_method_trains_every_parameter(example: dict[str, Any], street_cache: Cache) -> None:
    torch.manual_seed(0)
    backbone = SparseUNet((0.5, 0.5, 0.5), 1, 8, (8,), (1,), (8,), (1,))
    method = example["VarianceContrast"](backbone, PairViews(Augmentation(), inside=100, outside=100))
    dataset = CacheScenes(street_cache, [0, 1], "dbscan", method.views)
    terms = method(method.collate([dataset[Draw(0, 0, 0)], dataset[Draw(1, 0, 0)]]))
    terms["loss"].backward()
    assert float(terms["loss"].detach()) == pytest.approx(float(terms["alignment"] + terms["variance"]))
    assert all(p.grad is not None for p in method.parameters())


def test_the_region_generator_cuts_square_cells(example: dict[str, Any]) -> None:
    xyz = np.array([[0.5, 0.5, 0], [1.5, 1.9, 1], [2.5, 0.5, 0], [0.1, 0.1, -2]], np.float32)
    region = example["CellRegions"]()(xyz, np.array([False, False, False, True]))
    assert region.dtype == np.int32
    assert region[0] == region[1] != region[2]
    assert region[3] == -1


def test_the_reader_is_prepared_by_the_pipeline(example: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clouds = [rng.uniform(-20, 20, (500, 4)).astype(np.float32) for _ in range(2)]
    root = tmp_path / "arrays"
    root.mkdir()
    for number, cloud in enumerate(clouds):
        np.save(root / f"{number}.npy", cloud)
    prepare(example["ArrayReader"](root), choose_stages(regions=("dbscan",)), CacheFolder(tmp_path / "cache"))
    cache = Cache(tmp_path / "cache")
    assert len(cache) == 2
    np.testing.assert_array_equal(cache[1]["points"].numpy(), clouds[1])
    (root / "1.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match=r"1\.npy: cannot be read as an array"):
        example["ArraySource"](root / "1.npy").read()


def test_the_op_counts_and_passes_opcheck(example: dict[str, Any]) -> None:
    region = torch.tensor([0, 2, 2, -1])
    assert example["region_count"](region, 4).tolist() == [1, 0, 2, 0]
    torch.library.opcheck(example["region_count"], (region, 4))
