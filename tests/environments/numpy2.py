"""Runs the tests that need neither nuScenes' devkit nor the simulator with numpy 2: `make test-numpy2`.

The environment is kept in build/numpy2. It has the core and the test tools of pyproject.toml and no extra, as devkit
and open3d need numpy 1; the compiled ops are those of this checkout, so its torch is that of the calling environment.
Arguments are handed to pytest.
"""

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "numpy2"
TESTS = ("geometry", "structures", "views", "data", "losses", "models", "heads", "methods", "ops")
ORACLES = ("geometry/test_rigid.py", "data/test_object_bank.py", "ops/test_rotated_boxes.py")  # pyquaternion, shapely
LEFT_OUT = "not cuda"  # of the ops: they compile kernels and know nothing of numpy's version
CHECK = """
from importlib.metadata import packages_distributions
import numpy
assert numpy.__version__.startswith("2."), numpy.__version__
brought_by = packages_distributions()
assert len(brought_by["cv2"]) == 1, brought_by["cv2"]
absent = [name for name in ("nuscenes", "open3d", "pypatchworkpp", "shapely") if name in brought_by]
assert not absent, f"{absent} are here: the core is not tested alone"
"""


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = [line for line in project["optional-dependencies"]["dev"] if not re.match("ruff|mypy", line)]
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    wanted = [f"torch=={torch.__version__.split('+')[0]}", "numpy>=2", *project["dependencies"], *tools]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([str(python), "-c", CHECK], check=True, env=environment, cwd=ROOT)
    tests = [f"tests/{name}" for name in TESTS] + [f"--ignore=tests/{name}" for name in ORACLES]
    command = [str(python), "-m", "pytest", "-m", "not slow", "-k", LEFT_OUT, "-p", "no:cacheprovider", *tests]
    return subprocess.run([*command, *sys.argv[1:]], env=environment, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
