"""Pretraining on a tiny street by the smoke configs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.initial import InitialWeights
from pc_ssl.engine.pretrain import build, pretrain
from pc_ssl.engine.train import train
from pc_ssl.engine.weights import load_backbone, read_tensors
from pc_ssl.errors import UserError
from pc_ssl.files import sha256_of
from pc_ssl.methods.prc import PRC

CONFIGS = Path(__file__).parents[2] / "configs"
SMOKE = CONFIGS / "smoke" / "prc_second.py"
DECIDED_BY_THE_MACHINE = {"seconds", "data_seconds", "memory_mib"}


def losses(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in DECIDED_BY_THE_MACHINE} for line in lines]


def test_pretraining_leaves_weights_that_a_downstream_backbone_loads(street_cache: Cache, tmp_path: Path) -> None:
    pretrain(SMOKE, street_cache.path, tmp_path, device="cpu")
    fresh = build(load_config(SMOKE), street_cache, "train").method.get_submodule("backbone")
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    report = load_backbone(tmp_path / "weights.safetensors", fresh)
    assert report.is_complete
    assert any(not torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    assert load_config(tmp_path / "config.py").hash == load_config(SMOKE).hash
    _, metadata = read_tensors(tmp_path / "weights.safetensors")
    assert metadata["method"] == "PRC"
    assert metadata["split"] == "train"


@pytest.mark.parametrize("workers", [1, 2])
def test_losses_do_not_depend_on_loader_processes(street_cache: Cache, tmp_path: Path, workers: int) -> None:
    for count in (0, workers):
        pretrain(
            SMOKE, street_cache.path, tmp_path / str(count), overrides=[f"train.num_workers={count}"], device="cpu"
        )
    assert losses(tmp_path / "0") == losses(tmp_path / str(workers))
    assert len(losses(tmp_path / "0")) == 4


def test_the_seed_decides_the_losses(street_cache: Cache, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("again", 1), ("b", 2)):
        pretrain(SMOKE, street_cache.path, tmp_path / name, overrides=[f"train.seed={seed}"], device="cpu")
    assert losses(tmp_path / "a") == losses(tmp_path / "again")
    assert losses(tmp_path / "a") != losses(tmp_path / "b")


def test_a_dry_run_tells_the_cost_and_writes_nothing(
    street_cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pretrain(SMOKE, street_cache.path, tmp_path / "new", dry_run=True, device="cpu")
    out = capsys.readouterr().out
    assert re.search(
        r"time +[\d.e-]+ s to compute a step, [\d.e-]+ s to load a batch by one of 1 processes: \d+s in all", out
    )
    assert re.search(r"memory +\d+\.\d GiB at most in 3 steps", out)
    assert "frames           8: 8 batches of 1 per epoch" in out
    assert not (tmp_path / "new").exists()


def test_a_task_cannot_be_pretrained(street_cache: Cache, tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    task.write_text("task = dict(type='torch.nn.Identity')\ntrain = dict(type='pc_ssl.engine.options.TrainOptions')\n")
    with pytest.raises(UserError, match=r"task\.py: holds a downstream task, expected a `method`"):
        pretrain(task, street_cache.path, tmp_path / "new", device="cpu")


def test_regions_that_the_cache_lacks_are_named(street_cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no 'region/hdbscan'; .* the frame has .*region/dbscan"):
        pretrain(SMOKE, street_cache.path, tmp_path / "new", overrides=["region=hdbscan"], device="cpu")
    assert not (tmp_path / "new").exists()


def test_a_run_on_another_cache_is_not_resumed(street_cache: Cache, tmp_path: Path) -> None:
    pretrain(SMOKE, street_cache.path, tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"the run has other settings: .*split was 'train', is 'val'"):
        pretrain(SMOKE, street_cache.path, tmp_path, split="val", resume=True, device="cpu")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_cache_with_other_point_features_is_refused(street_cache: Cache, tmp_path: Path, dry_run: bool) -> None:
    message = r"method\.backbone\.point_features is 2, but .*manifest\.json is 1"
    with pytest.raises(UserError, match=message):
        pretrain(
            SMOKE, street_cache.path, tmp_path / "new",
            overrides=["method.backbone.point_features=2"], dry_run=dry_run, device="cpu",
        )  # fmt: skip
    assert not (tmp_path / "new").exists()


def test_a_method_that_needs_weights_of_a_part_gets_them_or_is_refused(
    street_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pretrain(SMOKE, street_cache.path, tmp_path / "first", overrides=["train.seed=5"], device="cpu")
    weights = tmp_path / "first" / "weights.safetensors"
    monkeypatch.setattr(PRC, "needs_weights", ("backbone",), raising=False)
    with pytest.raises(UserError, match=r"PRC needs a pretrained backbone: .* --init backbone=F"):
        pretrain(SMOKE, street_cache.path, tmp_path / "second", device="cpu")
    assert not (tmp_path / "second").exists()
    init = InitialWeights({"backbone": weights})
    pretrain(SMOKE, street_cache.path, tmp_path / "second", init=init, device="cpu")
    assert re.search(r"init +.*weights\.safetensors: (\d+) of \1 backbone tensors match", capsys.readouterr().out)
    settings = json.loads((tmp_path / "second" / "run.json").read_text())["settings"]
    assert settings["init"] == {"backbone": sha256_of(weights)}
    monkeypatch.undo()
    pretrain(SMOKE, street_cache.path, tmp_path / "third", device="cpu", init=InitialWeights({"": weights}))
    assert losses(tmp_path / "third") == losses(tmp_path / "second")
    assert losses(tmp_path / "first") != losses(tmp_path / "second")


@pytest.mark.parametrize("dry_run", [True, False])
def test_frames_without_a_point_in_the_grid_are_named(street_cache: Cache, tmp_path: Path, dry_run: bool) -> None:
    far = ["method.backbone.grid.lower=(948.8,-51.2,-5.0)", "method.backbone.grid.upper=(1051.2,51.2,3.0)"]
    inside = r": none of \d+ points is" if dry_run else r" has \d+ points, 0 of them"
    with pytest.raises(UserError, match=rf"frames? street-0\d-\d{inside} inside the grid \(948\.8"):
        pretrain(SMOKE, street_cache.path, tmp_path / "new", overrides=far, dry_run=dry_run, device="cpu")


def test_embeddings_that_are_not_finite_stop_with_step_and_frames(street_cache: Cache, tmp_path: Path) -> None:
    """The monitors of collapse compute singular values of them, and must leave the word to the loop."""
    parts = build(load_config(SMOKE), street_cache, street_cache.default_split("train"))
    next(parts.method.backbone.parameters()).data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"step 1: not finite: loss nan.*effective_rank nan.*frames street-0\d-\d"):
        train(parts.method, parts.scenes, parts.options, tmp_path, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("inside", [64, 1])
def test_processes_train_together_or_say_that_nothing_is_learned(
    street_cache: Cache, tmp_path: Path, inside: int
) -> None:
    """With one point a frame, and one frame a process, there is nothing to contrast anywhere."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = ["--cache", str(street_cache.path), "--work-dir", str(tmp_path), "--device", "cpu", "--resume"]
    values = ["train.steps=6", "train.batch_size=2", f"method.views.inside={inside}", "method.views.outside=0"]
    overrides = [word for value in values for word in ("--set", value)]
    command = [*launch, "-m", "pc_ssl.cli", "pretrain", str(SMOKE), *options, *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if inside == 1:
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 1
        assert "step 6: the gradient was 0 in 6 steps in a row" in result.stderr
        assert not (tmp_path / "weights.safetensors").exists()
        return
    for _ in range(2):  # a finished run is recognised by every process
        subprocess.run(command, check=True, capture_output=True, env=environment)
    assert [line["step"] for line in losses(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] > 0 for line in losses(tmp_path))
    assert read_tensors(tmp_path / "weights.safetensors")[0]


def kill_and_resume(cache: Path, folder: Path, kills: int, seed: int) -> None:
    """Kill the command `kills` times at random moments of its training, then let it finish."""
    options = ["--cache", str(cache), "--work-dir", str(folder), "--resume", "--device", "cpu"]
    command = [sys.executable, "-m", "pc_ssl.cli", "pretrain", str(SMOKE), *options, *OVERRIDES]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        before = len((folder / "log.jsonl").read_bytes()) if (folder / "log.jsonl").exists() else 0
        limit = time.monotonic() + 60
        while time.monotonic() < limit and process.poll() is None:  # until it trains
            if (folder / "log.jsonl").exists() and len((folder / "log.jsonl").read_bytes()) != before:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True, env=environment)


OVERRIDES = ["--set", "train.steps=60", "--set", "train.batch_size=2", "--set", "train.num_workers=1"]


def check_kills(cache: Cache, tmp_path: Path, kills: int) -> None:
    overrides = [value for value in OVERRIDES if value != "--set"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pretrain(SMOKE, cache.path, tmp_path / "whole", overrides=overrides, device="cpu")
    torch.set_num_threads(threads)
    kill_and_resume(cache.path, tmp_path / "killed", kills, seed=kills)
    assert len(losses(tmp_path / "whole")) == 60
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    whole, killed = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_kills_at_random_moments_change_neither_losses_nor_weights(street_cache: Cache, tmp_path: Path) -> None:
    check_kills(street_cache, tmp_path, kills=2)


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_neither_losses_nor_weights(street_cache: Cache, tmp_path: Path) -> None:
    check_kills(street_cache, tmp_path, kills=10)


def test_one_step_on_the_real_keyframe(tmp_path: Path) -> None:
    root = os.environ.get("PC_SSL_REAL_DATA")
    if root is None:
        pytest.skip("PC_SSL_REAL_DATA names no folder with real recordings")
    main = [sys.executable, "-m", "pc_ssl.cli"]
    source = ["--root", f"{root}/nuscenes-real", "--version", "v1.0-mini", "--out", str(tmp_path / "cache")]
    subprocess.run([*main, "prepare", "nuscenes", *source], check=True, capture_output=True)
    for name in ("prc_second", "prc_unet"):
        pretrain(
            CONFIGS / "smoke" / f"{name}.py", tmp_path / "cache", tmp_path / name,
            overrides=["train.steps=1"], device="cpu",
        )  # fmt: skip
        (line,) = losses(tmp_path / name)
        assert 0 < line["loss"] < 20
