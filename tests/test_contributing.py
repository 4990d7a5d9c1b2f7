"""The worked examples of CONTRIBUTING.md do what it says."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from data_prep import readers, regions
from data_prep.readers import DataSet
from pc_ssl.cli import app
from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.errors import UserError
from pc_ssl.experiments import read_records
from pc_ssl.structures import Scene

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
IN_PACKAGES = [path for path in FILES if path.startswith(("pc_ssl/", "data_prep/"))]
MODULES = {path: path.removesuffix(".py").replace("/", ".") for path in IN_PACKAGES}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with each example in its place; their modules are imported as parts of the packages."""
    folder = tmp_path_factory.mktemp("project")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "configs/_base_").symlink_to(ROOT / "configs/_base_")
    with pytest.MonkeyPatch.context() as patch:
        for name in {module.rpartition(".")[0] for module in MODULES.values()}:
            package = importlib.import_module(name)
            patch.setattr(package, "__path__", [*package.__path__, str(folder / name.replace(".", "/"))])
        yield folder
        for module in MODULES.values():
            sys.modules.pop(module, None)


def module(path: str) -> ModuleType:
    return importlib.import_module(MODULES[path])


@pytest.fixture
def method_config(project: Path) -> Path:
    return project / "configs/smoke/variance_unet.py"


def test_no_example_is_left_out() -> None:
    assert TEXT.count("```python") == len(FILES) == 7
    assert [path for path in FILES if (ROOT / path).exists()] == []


def test_the_loss_of_the_method_is_the_sum_of_its_terms(method_config: Path, street_cache: Cache) -> None:
    torch.manual_seed(0)
    method = load_config(method_config, ("method.weight=3.0",)).build("method")
    dataset = CacheScenes(street_cache, [0, 1], "dbscan", method.views)
    terms = method(method.collate([dataset[Draw(0, 0, 0)], dataset[Draw(1, 0, 0)]]))
    terms["loss"].backward()
    assert float(terms["loss"].detach()) == pytest.approx(float(terms["alignment"] + 3 * terms["variance"]))
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.usefixtures("project")
def test_the_region_generator_cuts_square_cells() -> None:
    xyz = np.array([[0.5, 0.5, 0], [1.5, 1.9, 1], [2.5, 0.5, 0], [0.1, 0.1, -2], [0.2, 0.2, 3]], np.float32)
    ground, height = np.arange(5) == 3, xyz[:, 2] + 2
    region = module("data_prep/regions/cells.py").CellRegions()(xyz, ground, height)
    assert region.dtype == np.int32
    assert region.tolist() == [0, 0, 1, -1, -1]


@pytest.mark.usefixtures("project")
def test_the_reader_and_the_regions_are_prepared_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    clouds = [rng.uniform(-20, 20, (500, 4)).astype(np.float32) for _ in range(2)]
    root, out = tmp_path / "arrays", tmp_path / "cache"
    root.mkdir()
    for number, cloud in enumerate(clouds):
        np.save(root / f"{number}.npy", cloud)
    arrays, cells = module("data_prep/arrays.py"), module("data_prep/regions/cells.py").CellRegions()
    monkeypatch.setitem(readers.READERS, "arrays", DataSet(arrays.ArrayReader))
    monkeypatch.setitem(regions.GENERATORS, "cells", cells)
    arguments = ["prepare", "arrays", "--root", str(root), "--out", str(out), "--regions", "cells"]
    assert app([*arguments, "--set", "regions.cells.size=5.0"], standalone_mode=False) == 0
    cache = Cache(out)
    np.testing.assert_array_equal(cache[1]["points"].numpy(), clouds[1])
    assert cache.manifest.options["regions"]["cells"]["size"] == 5.0
    assert 16 <= int(cache[1]["region/cells"].max()) + 1 <= 64
    (root / "1.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match=r"1\.npy: cannot be read as an array"):
        arrays.ArraySource(root / "1.npy").read()


@pytest.mark.usefixtures("project")
def test_the_transform_drops_whole_beams() -> None:
    angle = torch.linspace(-0.4, 0.2, 4).repeat(10)  # 4 beams, 10 points of each
    points = torch.stack([5 * angle.cos(), torch.zeros(40), 5 * angle.sin(), torch.arange(40.0)], dim=1)
    scene = Scene("a", points, torch.arange(40, dtype=torch.int32), 40)
    drop = module("pc_ssl/data/drop_beams.py").DropBeams
    changed = drop(beams=4, share=0.5)(scene, np.random.default_rng(1))
    beams = changed.points[:, 3].long() % 4
    kept = np.flatnonzero(np.random.default_rng(1).random(4) >= 0.5)
    assert beams.bincount(minlength=4).tolist() == [10 * int(beam in kept) for beam in range(4)]
    assert 0 < len(kept) < 4
    assert torch.equal(changed.region.float(), changed.points[:, 3])
    assert len(drop(share=0.0)(scene, np.random.default_rng(1)).points) == 40


@pytest.mark.usefixtures("commands_in_process")
def test_the_plan_compares_its_methods(
    project: Path, street_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    arguments = ["compare", "--plan", "my_plan.py", "--cache", str(street_cache.path), "--work-dir", str(tmp_path)]
    assert not app([*arguments, "--jobs", "1", "--device", "cpu"], standalone_mode=False)
    scores = [r for r in read_records(tmp_path / "records.jsonl") if r.metric == "miou" and r.scene == "all"]
    assert {(r.method, r.variant, r.seed) for r in scores} == {
        (method, variant, seed)
        for method in ("scratch", "base", "heavy")
        for variant in ("", "half_the_beams")
        for seed in (0, 1)
    }


@pytest.mark.usefixtures("project")
def test_the_op_counts_and_passes_opcheck() -> None:
    region_count, region = module("pc_ssl/ops/region_count.py").region_count, torch.tensor([0, 2, 2, -1])
    assert region_count(region, 4).tolist() == [1, 0, 2, 0]
    torch.library.opcheck(region_count, (region, 4))
