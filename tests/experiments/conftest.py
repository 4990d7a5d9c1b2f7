from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pc_ssl.evaluation.class_counts import ClassCounts
from pc_ssl.evaluation.run_result import RunResult
from pc_ssl.evaluation.segmentation import SegmentationResult
from pc_ssl.experiments.jobs import Job

NETWORK = (
    "dict(type=SparseUNet, voxel_size=(0.5, 0.5, 0.5), stem_channels=4, encoder_channels=(4,), encoder_blocks=(1,),"
    " decoder_channels=(4,), decoder_blocks=(1,))"
)
IMPORTS = (
    "from pc_ssl.engine.options import TrainOptions\nfrom pc_ssl.heads.segmentation import SegmentationTask\n"
    "from pc_ssl.methods.prc import PRC\nfrom pc_ssl.models.lidar import SparseUNet\n"
    "from pc_ssl.views.lidar import Augmentation, PairViews, SingleView\n"
)
TRAIN = "train = dict(type=TrainOptions, steps=2, batch_size=1, learning_rate=1e-3, num_workers=0, log_every=1)\n"
VIEWS = "dict(type=PairViews, augmentation=dict(type=Augmentation), inside=16, outside=16)"


@dataclass(frozen=True)
class Configs:
    """Files of a small pretraining and of a segmentation with the same network."""

    prc: Path
    segmentation: Path


def write_prc(path: Path, network: str = NETWORK, steps: int = 2) -> Path:
    method = f"method = dict(type=PRC, alpha=0.9, backbone={network}, views={VIEWS})\n"
    path.write_text(f'{IMPORTS}{method}region = "dbscan"\n{TRAIN}'.replace("steps=2", f"steps={steps}"))
    return path


@pytest.fixture
def write_method() -> Callable[..., Path]:
    """(path, network, steps) -> the config of a small PRC."""
    return write_prc


@pytest.fixture(scope="session")
def network() -> str:
    """The backbone of the configs, as their text."""
    return NETWORK


@pytest.fixture(scope="session")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Configs:
    folder = tmp_path_factory.mktemp("configs")
    view = "dict(type=SingleView, augmentation=dict(type=Augmentation))"
    task = folder / "segmentation.py"
    task.write_text(f"{IMPORTS}task = dict(type=SegmentationTask, backbone={NETWORK}, view={view})\n{TRAIN}")
    return Configs(write_prc(folder / "prc.py"), task)


RESULT = SegmentationResult(("car", "road"), ((2, 1), (0, 1)), 1, {"street-04": ClassCounts((2, 1), (3, 1), (2, 2))})
BETTER = SegmentationResult(("car", "road"), ((3, 0), (0, 1)), 1, {"street-04": ClassCounts((3, 1), (3, 1), (3, 1))})


@dataclass
class FakeCommands:
    """Stands for the commands of a plan: each writes a file of the right kind and trains nothing.

    Args:
        started: name of the command and folder below the work folder, in order.
        fail_at: number of the command that is killed.
        texts: names of pretrainings whose weights hold texts of classes.
        better: whether the run in a folder scores 1.0 instead of 0.58.
    """

    started: list[str]
    fail_at: int | None = None
    texts: tuple[str, ...] = ()
    better: Callable[[Path], bool] = lambda folder: False

    def call(self, job: Job, output: Path, threads: int) -> tuple[int, float]:
        command = str(job.arguments[0])
        self.started.append(command)
        output.touch()
        if len(self.started) - 1 == self.fail_at:
            raise KeyboardInterrupt
        if command == "pretrain":
            names = ["text"] if job.folder.parent.name in self.texts else ["backbone.weight"]
            save_file({name: torch.zeros(1) for name in names}, job.product)
        else:
            save_file({"head.weight": torch.zeros(1)}, job.folder / "weights.safetensors")
            settings = {"command": command}
            result = BETTER if self.better(job.folder) else RESULT
            RunResult(settings, {"init": None}, (), 0, {}, result, {}).write(job.folder)
        return 0, 100.0


@pytest.fixture
def fake_commands(monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    fake = FakeCommands([])
    monkeypatch.setattr(Job, "_call", lambda job, output, threads: fake.call(job, output, threads))
    return fake
