"""Installs the newest wheel of a folder in an environment of its own and uses it there without a compiler.

    python tests/environments/wheel.py dist

Asked of it: `pc-ssl --help`, `pc-ssl configs`, region_pool by the compiled op, and a smoke pretraining by a config's
name, on a cache that is written through the package itself. The environment is kept in build/wheel.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "wheel"
CONFIG = "smoke/prc_unet"

POOL = """
import torch, pc_ssl, pc_ssl._C
from pc_ssl.ops import region_pool
assert "site-packages" in pc_ssl.__file__ and "site-packages" in pc_ssl._C.__file__, pc_ssl.__file__
pooled = region_pool(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, -1]), 2)
assert pooled.tolist() == [[2.0], [0.0]], pooled
"""
CACHE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])  # tests/conftest.py: a tiny street, written through the package
import conftest
conftest.write_street_cache(Path(sys.argv[2]), train=2, val=1)
"""


def main() -> None:
    wheel = max(Path(sys.argv[1]).glob("pc_ssl-*.whl"), key=lambda path: path.stat().st_mtime)
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"torch=={torch.__version__.split('+')[0]}", str(wheel)], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(wheel)], check=True)
    # no compiler, no checkout: PATH holds the environment alone
    empty = FOLDER / "empty"
    empty.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CC", "CXX", "LD_PRELOAD")}
    environment |= {"PATH": str(python.parent), "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, cwd=empty, capture_output=True, text=True)
        print(f"$ {' '.join(command)[:100]}\n{done.stdout[-600:]}{done.stderr[-2000:]}", flush=True)
        if done.returncode:
            raise SystemExit(f"failed with exit code {done.returncode}")
        return done.stdout

    program = str(python.parent / "pc-ssl")
    run(str(python), "-c", POOL)
    run(program, "--help")
    assert CONFIG in run(program, "configs")
    cache = FOLDER / "cache"
    if not (cache / "manifest.json").exists():
        subprocess.run([*pip, "pytest", "hypothesis"], check=True)
        run(str(python), "-c", CACHE, str(ROOT / "tests"), str(cache))
    work = FOLDER / "run"
    shutil.rmtree(work, ignore_errors=True)
    run(program, "pretrain", CONFIG, "--cache", str(cache), "--work-dir", str(work), "--set", "train.steps=2")
    assert (work / "weights.safetensors").is_file()
    print(f"{wheel.name}: installed and used without a compiler")


if __name__ == "__main__":
    main()
