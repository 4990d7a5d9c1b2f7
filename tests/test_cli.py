"""Each command as a user calls it, on two simulated scenes, from recording to report."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pc_ssl import cli
from pc_ssl.version import __version__

CONFIGS = Path(__file__).parents[1] / "configs"
PRC, SEGMENTATION = CONFIGS / "smoke" / "prc_unet.py", CONFIGS / "smoke" / "segmentation.py"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    error: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Run `pc-ssl` in this process."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pc-ssl", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli") / "root"
    command = ["simulate", "nuscenes", "--out", str(root), "--scenes", "2", "--keyframes", "2", "--image-size", "80x45"]
    subprocess.run([sys.executable, "-m", "pc_ssl.cli", *command], check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def cache(recording: Path) -> Path:
    folder = recording.parent / "cache"
    source = ["--root", str(recording), "--version", "v1.0-mini", "--out", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "pc_ssl.cli", "prepare", "nuscenes", *source], check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def weights(cache: Path) -> Path:
    folder = cache.parent / "prc"
    command = ["pretrain", str(PRC), "--cache", str(cache), "--work-dir", str(folder), "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "pc_ssl.cli", *command], check=True, capture_output=True)
    return folder / "weights.safetensors"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_version_and_help_need_no_torch() -> None:
    code = (
        "import sys; from pc_ssl import cli; sys.argv = ['pc-ssl', '--version']\n"
        "try: cli.main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["pc_ssl", __version__, "False"]


@pytest.mark.parametrize(
    "command",
    [
        "simulate nuscenes", "prepare nuscenes", "verify", "pretrain", "probe", "finetune", "evaluate", "report",
    ],
)  # fmt: skip
def test_every_command_has_help_with_an_example_or_says_all_in_a_line(run: Run, command: str) -> None:
    outcome = run(*command.split(), "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out
    if command != "verify":
        assert "Example: " in outcome.out


def test_simulate_twice_does_no_work_twice(run: Run, recording: Path) -> None:
    before = files(recording)
    outcome = run("simulate", "nuscenes", "--out", recording, "--scenes", 2, "--keyframes", 2, "--image-size", "80x45")
    assert outcome.code == 0
    assert files(recording) == before


def test_simulate_refuses_the_folder_of_another_recording(run: Run, recording: Path) -> None:
    outcome = run("simulate", "nuscenes", "--out", recording, "--scenes", 3)
    assert outcome.code in (1, 2)
    assert str(recording) in outcome.error
    assert len(outcome.error.strip().splitlines()) == 1


def test_simulate_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    outcome = run("simulate", "nuscenes", "--out", tmp_path / "new", "--dry-run")
    assert outcome.code == 0
    assert "would simulate" in outcome.out
    assert not (tmp_path / "new").exists()


def test_an_image_size_of_another_form_is_reported(run: Run, tmp_path: Path) -> None:
    outcome = run("simulate", "nuscenes", "--out", tmp_path / "new", "--image-size", "400")
    assert outcome.code == 2
    assert outcome.error == "error: --image-size: '400' is not WIDTHxHEIGHT in pixels, such as 400x225\n"


def test_verify_accepts_a_whole_cache_and_names_a_damaged_file(run: Run, cache: Path, tmp_path: Path) -> None:
    assert run("verify", cache).code == 0
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    victim = sorted((copy / "frames").rglob("*.safetensors"))[0]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    outcome = run("verify", copy)
    assert outcome.code == 1
    assert victim.name in outcome.out
    assert "checksum" in outcome.out


def test_pretrain_dry_run(run: Run, cache: Path, tmp_path: Path) -> None:
    outcome = run("pretrain", PRC, "--cache", cache, "--work-dir", tmp_path / "new", "--dry-run")
    assert outcome.code == 0
    assert "GiB" in outcome.out
    assert "sim_train" in outcome.out
    assert not (tmp_path / "new").exists()


def test_probe_finetune_evaluate_and_report(run: Run, cache: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--cache", cache, "--device", "cpu")
    for command in ("probe", "finetune"):
        outcome = run(command, SEGMENTATION, *common, "--init", weights, "--work-dir", tmp_path / command)
        assert outcome.code == 0, outcome.error
        assert "vegetation" in outcome.out
        result = json.loads((tmp_path / command / "result.json").read_text())
        assert result["settings"]["val_split"] == "sim_val"
    trained = tmp_path / "finetune" / "weights.safetensors"
    outcome = run("evaluate", SEGMENTATION, *common, "--weights", trained, "--work-dir", tmp_path / "evaluate")
    assert outcome.code == 0, outcome.error
    again, before = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("evaluate", "finetune"))
    assert again["result"] == before["result"]
    for folder in (cache, weights.parent, tmp_path / "finetune"):
        outcome = run("report", folder, "--out", tmp_path / "page.html")
        assert outcome.code == 0, outcome.error
        page = (tmp_path / "page.html").read_text()
        assert page.count("data:image/png;base64,") >= 1
        assert "http://" not in page
        assert "https://" not in page


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [([], "add --resume"), (["--resume"], "the same command goes on")],
)
def test_ctrl_c_says_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], advice: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pc_ssl.engine.pretrain.pretrain", interrupted)
    outcome = run("pretrain", PRC, "--cache", tmp_path, "--work-dir", tmp_path / "new", *arguments)
    assert outcome.code == 130
    assert advice in outcome.error
    assert len(outcome.error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "method.alpa=1"], "unknown name|has no argument 'alpa'.*alpha"),
        (["--set", "train.steps=many"], "train.steps is 'many', expected int"),
        (["--split", "nowhere"], "no split 'nowhere'"),
        (["--device", "tpu"], "device 'tpu'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    run: Run, cache: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    import re

    outcome = run("pretrain", PRC, "--cache", cache, "--work-dir", tmp_path / "new", *arguments)
    assert outcome.code in (1, 2)
    assert re.search(message, outcome.error)
    assert len(outcome.error.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_weights_of_another_backbone_are_refused(run: Run, cache: Path, weights: Path, tmp_path: Path) -> None:
    outcome = run(
        "finetune", SEGMENTATION, "--cache", cache, "--init", weights, "--work-dir", tmp_path / "new",
        "--set", "task.backbone.stem_channels=12",
    )  # fmt: skip
    assert outcome.code == 1
    assert "weights of another backbone" in outcome.error
    assert not (tmp_path / "new").exists()


def test_a_cache_of_another_schema_is_refused(run: Run, cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cache"
    copy.mkdir()
    manifest = json.loads((cache / "manifest.json").read_text())
    manifest["schema_version"] = 99
    (copy / "manifest.json").write_text(json.dumps(manifest))
    outcome = run("pretrain", PRC, "--cache", copy, "--work-dir", tmp_path / "new")
    assert outcome.code == 1
    assert "99" in outcome.error
    assert "schema" in outcome.error
    assert len(outcome.error.strip().splitlines()) == 1
