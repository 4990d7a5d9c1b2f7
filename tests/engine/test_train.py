import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pc_ssl.data.sampler import TooSmall
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.train import make_optimizer, train
from pc_ssl.errors import UsageError, UserError

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

OPTIONS = {"steps": 23, "batch_size": 4, "learning_rate": 1e-2, "num_workers": 0, "log_every": 1, "checkpoint_every": 6}
TIMES = {"seconds", "data_seconds", "memory_mib"}  # these differ from run to run


def lines_of(folder: Path) -> list[dict[str, float]]:
    """The log without what the machine decides."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def test_importing_training_loads_only_what_a_run_needs() -> None:
    """No runner, hooks or optimisers of mmengine (and with them torch's sharding), no writer of TensorBoard."""
    code = "import sys, pc_ssl.engine.train, pc_ssl.engine.pretrain, pc_ssl.engine.downstream; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(result.stdout.split())
    assert "pc_ssl.engine.loop" in loaded
    unwanted = {"mmengine", "tensorboard", "torch.distributed.fsdp", "torch._dynamo", "scipy", "numba", "transformers"}
    assert not unwanted & loaded


def run(
    toy: ModuleType, folder: Path, *, module: nn.Module | None = None, resume: bool = False, **changes: Any
) -> nn.Module:
    module = module or toy.ToyMethod()
    train(module, toy.ToyFrames(), TrainOptions(**OPTIONS | changes), folder, resume=resume, device="cpu")
    return module


class Interrupted(Exception):
    pass


def stop_at(module: nn.Module, call: int) -> nn.Module:
    """Raise in the forward pass number `call`."""
    calls = iter(range(1, call + 1))
    module.register_forward_pre_hook(lambda *_: None if next(calls) < call else _raise(Interrupted()))
    return module


def _raise(error: Exception) -> None:
    raise error


def test_a_loader_process_that_is_killed_is_reported_in_one_line(toy: ModuleType, tmp_path: Path) -> None:
    """As the system does when memory runs out."""

    class Doomed(toy.ToyFrames):
        def __getitem__(self, draw: Any) -> Any:
            if draw.row == 7 and torch.utils.data.get_worker_info() is not None:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(draw)

    def work() -> None:  # in a process of its own, as torch goes on complaining of the dead one
        options = TrainOptions(**OPTIONS | {"num_workers": 1})
        try:
            train(toy.ToyMethod(), Doomed(), options, tmp_path / "run", device="cpu")
        except UserError as error:
            (tmp_path / "reported").write_text(str(error))

    child = get_context("fork").Process(target=work)
    child.start()
    child.join()
    reported = (tmp_path / "reported").read_text()
    assert reported.startswith("a loader process was ended from outside")
    assert len(reported.splitlines()) == 1


def test_other_errors_of_torch_keep_their_words(toy: ModuleType, tmp_path: Path) -> None:
    module = toy.ToyMethod()
    module.register_forward_pre_hook(lambda *_: _raise(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(toy, tmp_path, module=module)


def test_losses_are_those_of_a_plain_loop(toy: ModuleType, tmp_path: Path) -> None:
    """Oracle: the same training written with torch's own scheduler and nothing of the engine but the batches."""
    from pc_ssl.data.sampler import StepBatches

    run(toy, tmp_path, module=toy.ToyMethod(stateful=False), clip_norm=2.0)
    module, frames = toy.ToyMethod(stateful=False), toy.ToyFrames()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-2, total_steps=23, pct_start=0.4, div_factor=10, final_div_factor=1e4
    )
    expected = []
    for draws in StepBatches(20, 4, 0, 0, 23):
        terms = module(toy.ToyBatch.pack([frames[draw] for draw in draws]))
        optimizer.zero_grad()
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), 2.0)
        expected.append((float(terms["loss"].detach()), float(norm), scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    found = [(line["loss"], line["grad_norm"], line["lr"]) for line in lines_of(tmp_path)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_losses_are_the_same_for_any_number_of_workers(toy: ModuleType, tmp_path: Path) -> None:
    for workers in (0, 1, 2, 4):
        run(toy, tmp_path / str(workers), num_workers=workers)
    logs = [lines_of(tmp_path / str(workers)) for workers in (0, 1, 2, 4)]
    assert len(logs[0]) == 23
    assert all(log == logs[0] for log in logs)


def test_another_seed_gives_other_losses(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path / "a")
    run(toy, tmp_path / "b", seed=1)
    assert lines_of(tmp_path / "a") != lines_of(tmp_path / "b")


@pytest.mark.parametrize("stop", [1, 6, 7, 15, 23])
def test_a_resumed_run_gives_the_same_losses_and_weights_to_the_bit(toy: ModuleType, tmp_path: Path, stop: int) -> None:
    whole = run(toy, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(toy, tmp_path / "cut", module=stop_at(toy.ToyMethod(), stop))
    resumed = (
        run(toy, tmp_path / "cut", module=toy.ToyMethod(seed=99), resume=True)
        if stop > 6
        else run(toy, tmp_path / "cut", resume=True)
    )
    assert lines_of(tmp_path / "cut") == lines_of(tmp_path / "whole")
    assert [line["step"] for line in lines_of(tmp_path / "cut")] == list(range(1, 24))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_resumed_run_loads_no_batch_twice(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(toy, tmp_path, module=stop_at(toy.ToyMethod(), 20))
    frames, loaded = toy.ToyFrames(), []
    original = frames.__getitem__

    class Counting(toy.ToyFrames):
        def __getitem__(self, draw: Any) -> Any:
            loaded.append(draw)
            return original(draw)

    train(toy.ToyMethod(), Counting(), TrainOptions(**OPTIONS), tmp_path, resume=True, device="cpu")
    assert len(loaded) == (23 - 18) * 4  # the checkpoint was left after step 18


def test_a_torn_line_of_the_log_is_repaired(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(toy, tmp_path / "cut", module=stop_at(toy.ToyMethod(), 14))
    with (tmp_path / "cut" / "log.jsonl").open("a") as log:
        log.write('{"step": 14, "lo')
    run(toy, tmp_path / "cut", resume=True)
    assert lines_of(tmp_path / "cut") == lines_of(tmp_path / "whole")


def test_tensorboard_shows_each_step_once(toy: ModuleType, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Interrupted):
        run(toy, tmp_path, module=stop_at(toy.ToyMethod(), 10))
    run(toy, tmp_path, resume=True)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    events = board.Scalars("train/loss")
    assert [event.step for event in events] == list(range(1, 24))
    np.testing.assert_allclose(
        [event.value for event in events], [line["loss"] for line in lines_of(tmp_path)], rtol=1e-6
    )
    assert {
        "train/lr",
        "train/mae",
        "train/grad_norm",
        "train/seconds",
        "train/data_seconds",
        "train/memory_mib",
    } <= set(board.Tags()["scalars"])


def test_the_log_holds_the_first_every_nth_and_the_last_step(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path, log_every=10)
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 10, 20, 23]
    assert set(lines_of(tmp_path)[0]) == {"step", "loss", "mae", "grad_norm", "lr"}


def in_child(work: Callable[[], None]) -> Any:
    """Start `work` in a forked process."""
    process = get_context("fork").Process(target=work)
    process.start()
    return process


def killed_at_replace(toy: ModuleType, folder: Path, number: int) -> None:
    """Train, and die when the number-th file of this process is about to get its final name."""
    calls = iter(range(1, number + 1))
    original = os.replace

    def replace(source: Path, target: Path) -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        original(source, target)

    os.replace = replace
    run(toy, folder, resume=True)


def test_a_kill_while_the_checkpoint_is_written_costs_nothing(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path / "whole")
    folder = tmp_path / "killed"
    for number in (1, 2, 3, 4):  # run.json, log.jsonl, the first and the second checkpoint of each start
        child = in_child(lambda number=number: killed_at_replace(toy, folder, number))
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    assert list(folder.glob("*.partial"))
    run(toy, folder, resume=True)
    assert lines_of(folder) == lines_of(tmp_path / "whole")
    assert not list(folder.glob("*.partial"))


def kill_and_resume(toy: ModuleType, folder: Path, kills: int, seed: int) -> int:
    """Kill `kills` runs after a random time, each going on from the one before; how many were still training."""
    rng = np.random.default_rng(seed)
    running = 0
    for _ in range(kills):
        child = in_child(lambda: run(toy, folder, resume=True, steps=400, checkpoint_every=3, num_workers=1))
        child.join(rng.uniform(0.05, 0.6))
        running += child.is_alive()
        child.kill()
        child.join()
    return running


def check_kills(toy: ModuleType, tmp_path: Path, kills: int) -> None:
    run(toy, tmp_path / "whole", steps=400, checkpoint_every=3)
    assert kill_and_resume(toy, tmp_path / "killed", kills, seed=kills) >= 2
    run(toy, tmp_path / "killed", resume=True, steps=400, checkpoint_every=3)
    assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "whole")
    assert len(lines_of(tmp_path / "whole")) == 400


def test_kills_at_random_moments_change_no_loss(toy: ModuleType, tmp_path: Path) -> None:
    check_kills(toy, tmp_path, kills=3)


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_loss(toy: ModuleType, tmp_path: Path) -> None:
    check_kills(toy, tmp_path, kills=10)


@pytest.mark.slow
def test_two_processes_train_as_one_does(toy: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", toy.__file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "two")], check=True, capture_output=True, timeout=120, env=environment)
    run(toy, tmp_path / "one", module=toy.ToyMethod(stateful=False), steps=12)
    for two, one in zip(lines_of(tmp_path / "two"), lines_of(tmp_path / "one"), strict=True):
        assert two == pytest.approx(one, rel=1e-4)


def test_a_folder_with_a_run_is_not_overwritten(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=r"holds a run already.*--resume.*--work-dir"):
        run(toy, tmp_path)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_run_with_other_settings_is_not_resumed(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path)
    with pytest.raises(
        UserError, match=r"run\.json: the run has other settings: train\.learning_rate was 0\.01, is 0\.02"
    ) as caught:
        run(toy, tmp_path, resume=True, learning_rate=0.02)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"method\.alpha was None, is 0\.5"):
        train(
            toy.ToyMethod(),
            toy.ToyFrames(),
            TrainOptions(**OPTIONS),
            tmp_path,
            resume=True,
            settings={"method.alpha": 0.5},
        )


def test_what_changes_no_number_may_change(toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(toy, tmp_path)
    log = lines_of(tmp_path)
    run(toy, tmp_path, resume=True, num_workers=1, log_every=3, checkpoint_every=2)
    assert lines_of(tmp_path) == log
    assert "all 23 steps are done already" in capsys.readouterr().out


def test_resume_without_a_run_starts_and_says_so(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(toy, tmp_path / "new", resume=True, steps=3)
    assert "starting from the beginning" in capsys.readouterr().out
    assert len(lines_of(tmp_path / "new")) == 3


def test_a_damaged_checkpoint_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    run(toy, tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: not a whole safetensors file"):
        run(toy, tmp_path, resume=True)


def test_the_plan_gives_the_learning_rate_for_the_total_batch(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(toy, tmp_path)
    out = capsys.readouterr().out
    assert "5 batches of 4 per epoch" in out
    assert "0.01 at most (one_cycle), for a total batch of 4: 4 on each of 1 processes" in out


def test_a_loss_that_is_not_finite_stops_with_step_and_frames(toy: ModuleType, tmp_path: Path) -> None:
    class Frames(toy.ToyFrames):
        def __getitem__(self, draw: Any) -> Any:
            token, x = super().__getitem__(draw)
            return token, x * float("nan") if draw.row == 7 and draw.epoch == 1 else x

    with pytest.raises(UserError, match=r"step (\d+): not finite: loss nan, mae nan; frames .*frame7") as caught:
        train(toy.ToyMethod(), Frames(), TrainOptions(**OPTIONS), tmp_path, device="cpu")
    assert "\n" not in str(caught.value)
    report = json.loads((tmp_path / "non_finite_rank0.json").read_text())
    assert 6 <= report["step"] <= 10
    assert "frame7" in report["tokens"]
    assert len(report["tokens"]) == 4
    assert lines_of(tmp_path)[-1]["step"] == report["step"] - 1


def test_a_gradient_that_is_not_finite_changes_no_weight(toy: ModuleType, tmp_path: Path) -> None:
    class SquareRoot(toy.ToyMethod):
        def forward(self, batch: Any) -> dict[str, Tensor]:
            return {"loss": (0 * self.head(self.backbone(batch.x))).square().sum().sqrt()}

    module = SquareRoot()
    before = module.head.weight.clone()
    with pytest.raises(UserError, match=r"step 1: not finite: grad_norm nan; frames frame\d+"):
        run(toy, tmp_path, module=module)
    assert torch.equal(module.head.weight, before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_read_stops_with_its_own_message(toy: ModuleType, tmp_path: Path, workers: int) -> None:
    class Frames(toy.ToyFrames):
        def __getitem__(self, draw: Any) -> Any:
            if draw.row == 3:
                raise UserError("frames/a.safetensors: damaged")
            return super().__getitem__(draw)

    with pytest.raises(UserError) as caught:
        train(toy.ToyMethod(), Frames(), TrainOptions(**OPTIONS | {"num_workers": workers}), tmp_path, device="cpu")
    assert str(caught.value) == "frames/a.safetensors: damaged"


@pytest.mark.parametrize("workers", [0, 2])
def test_another_frame_takes_the_place_of_one_that_is_too_small(
    toy: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture, workers: int
) -> None:
    used: list[str] = []

    class Frames(toy.ToyFrames):
        small = frozenset({3, 4})

        def __getitem__(self, draw: Any) -> Any:
            if draw.row in self.small:
                raise TooSmall(f"frame{draw.row} has 1 points")
            return super().__getitem__(draw)

    module = toy.ToyMethod()
    module.register_forward_pre_hook(lambda _, inputs: used.extend(inputs[0].tokens))
    train(module, Frames(), TrainOptions(**OPTIONS | {"num_workers": workers, "steps": 5}), tmp_path, device="cpu")
    # 5 steps of 4 see the 20 frames once, and in the places of frames 3 and 4 frame 5.
    assert sorted(used) == sorted([f"frame{row}" for row in range(20) if row not in (3, 4)] + ["frame5", "frame5"])
    out = capsys.readouterr().out
    assert "left out         frame3 has 1 points" in out
    assert "left out         2 frames" in out


def test_a_data_set_of_frames_that_are_too_small_is_refused(toy: ModuleType, tmp_path: Path) -> None:
    class Frames(toy.ToyFrames):
        def __getitem__(self, draw: Any) -> Any:
            raise TooSmall(f"frame{draw.row} has 100 points, 0 of them inside")

    with pytest.raises(UserError, match=r"frame\d+ has 100 points.*the 19 frames after it.*units") as caught:
        train(toy.ToyMethod(), Frames(), TrainOptions(**OPTIONS), tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


class Useless(nn.Module):
    """A loss of 0 from the step `start` on, with or without a graph to its parameters."""

    def __init__(self, method: nn.Module, start: int, graph: bool) -> None:
        super().__init__()
        self.method, self.start, self.graph, self.calls = method, start, graph, 0
        self.backbone, self.collate = method.backbone, method.collate

    def forward(self, batch: Any) -> dict[str, Tensor]:
        self.calls += 1
        loss = self.method(batch)["loss"]
        if self.calls < self.start:
            return {"loss": loss}
        return {"loss": 0 * loss if self.graph else torch.zeros(())}


@pytest.mark.parametrize("graph", [True, False])
def test_twenty_steps_without_a_gradient_end_the_run(toy: ModuleType, tmp_path: Path, graph: bool) -> None:
    with pytest.raises(UserError, match="step 22: the gradient was 0 in 20 steps in a row, loss 0") as caught:
        run(toy, tmp_path, module=Useless(toy.ToyMethod(), 3, graph))
    assert "\n" not in str(caught.value)
    run(toy, tmp_path / "fewer", module=Useless(toy.ToyMethod(), 5, graph))  # 19 of 23 steps


def test_a_short_run_without_any_gradient_is_an_error(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="step 3: the gradient was 0 in 3 steps"):
        run(toy, tmp_path, module=Useless(toy.ToyMethod(), 1, graph=True), steps=3)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_bf16_computes_in_bf16_and_keeps_float32_weights(toy: ModuleType, tmp_path: Path) -> None:
    dtypes = set()
    module = toy.ToyMethod()
    module.head.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    run(toy, tmp_path, module=module, precision="bf16", steps=2)
    assert dtypes == {torch.bfloat16}
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_the_head_has_its_own_learning_rate(toy: ModuleType, tmp_path: Path) -> None:
    module = toy.ToyMethod()
    head = module.head.weight.clone()
    backbone = module.backbone[0].weight.clone()
    run(
        toy,
        tmp_path,
        module=module,
        steps=1,
        learning_rate=1e-6,
        learning_rate_multipliers={"head": 1e4},
        weight_decay=0.0,
    )
    # AdamW's first step moves each weight by the learning rate.
    torch.testing.assert_close((module.head.weight - head).abs().amax(), torch.tensor(1e-2), rtol=1e-2, atol=0)
    torch.testing.assert_close(
        (module.backbone[0].weight - backbone).abs().amax(), torch.tensor(1e-6), rtol=0.1, atol=0
    )


def test_the_longest_prefix_of_a_parameter_decides_its_learning_rate(toy: ModuleType) -> None:
    module = toy.ToyMethod()
    options = TrainOptions(**OPTIONS | {"learning_rate_multipliers": {"backbone": 0.1, "backbone.1": 3.0}})
    rates = {id(p): group["peak_lr"] for group in make_optimizer(module, options).param_groups for p in group["params"]}
    found = {name: rates[id(parameter)] for name, parameter in module.named_parameters()}
    assert found == pytest.approx({
        "backbone.0.weight": 1e-3, "backbone.0.bias": 1e-3, "backbone.1.weight": 3e-2, "backbone.1.bias": 3e-2,
        "head.weight": 1e-2, "head.bias": 1e-2,
    })  # fmt: skip


def test_a_prefix_of_no_parameter_is_refused(toy: ModuleType) -> None:
    options = TrainOptions(**OPTIONS | {"learning_rate_multipliers": {"back": 0.1}})
    with pytest.raises(UserError, match=r"learning_rate_multipliers: no parameter is below 'back'.*backbone, head"):
        make_optimizer(toy.ToyMethod(), options)


def test_frozen_parameters_are_left_out(toy: ModuleType) -> None:
    module = toy.ToyMethod()
    module.backbone.requires_grad_(False)
    groups = make_optimizer(module, TrainOptions(**OPTIONS)).param_groups
    assert [id(parameter) for group in groups for parameter in group["params"]] == [
        id(parameter) for parameter in module.head.parameters()
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0, expected more than 0"),
        ({"num_workers": -1}, "num_workers is -1, expected at least 0"),
        (
            {"learning_rate_multipliers": {"head": 0.0}},
            "learning_rate_multipliers: 'head' is 0.0, expected a number above 0",
        ),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainOptions(**OPTIONS | changes)


def test_a_batch_that_is_too_large_leaves_no_folder(toy: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size is 21, but there are only 20 frames"):
        run(toy, tmp_path / "new", batch_size=21)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("device", ["tpu", "cuda"])
def test_a_device_that_is_not_there_is_refused(toy: ModuleType, tmp_path: Path, device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError, match=f"device '{device}'"):
        train(toy.ToyMethod(), toy.ToyFrames(), TrainOptions(**OPTIONS), tmp_path, device=device)
