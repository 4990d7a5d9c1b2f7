"""Runs tests/ops on kernels with the address and undefined-behaviour sanitizers (g++, Linux): `make test-asan`.

Both the CPU op and, through their stand-in for CUDA's headers, the CUDA kernels. A finding ends the run. Objects are
kept in build/asan and compiled again when a source changes. Arguments are handed to pytest.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "asan"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
FLAGS = ["-std=c++20", "-O1", "-g1", "-fPIC", "-fopenmp", "-fno-omit-frame-pointer", "-w", *SANITIZE]
# Left out: what starts other processes or compilers, and the two that take minutes on the sanitized kernels.
LEFT_OUT = "not compiles_without_graph_breaks and not cuda_build and not 17000000 and not schedules"


def build() -> Path:
    """A folder with a copy of pc_ssl whose compiled part is sanitized."""
    shutil.rmtree(FOLDER / "pc_ssl", ignore_errors=True)
    shutil.copytree(ROOT / "pc_ssl", FOLDER / "pc_ssl", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    headers = b"".join(path.read_bytes() for path in sorted((ROOT / "csrc").rglob("*.h")))
    includes = [f"-I{path}" for path in (ROOT / "csrc", *cpp_extension.include_paths(), sysconfig.get_path("include"))]

    def compiled(source: str) -> str:
        version = hashlib.sha256(headers + Path(source).read_bytes() + " ".join([*FLAGS, *includes]).encode())
        target = FOLDER / f"{Path(source).stem}-{version.hexdigest()[:16]}.o"
        if not target.exists():
            temporary = target.with_suffix(".tmp")
            subprocess.run(["g++", *FLAGS, *includes, "-c", source, "-o", str(temporary)], check=True)
            temporary.rename(target)
        return str(target)

    sources = sorted(glob(str(ROOT / "csrc/*.cpp")) + glob(str(ROOT / "csrc/cpu/*.cpp")))
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sources))
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()] + ["-lc10", "-ltorch_cpu", "-ltorch"]
    target = FOLDER / "pc_ssl" / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(["g++", *FLAGS, "-shared", *objects, *libraries, "-o", str(target)], check=True)
    return target


def library(name: str) -> str:
    path = subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"g++ has no {name}: install its sanitizers (on Debian they come with gcc)")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", choices=["default", "avx2", "avx512"], help="of the CPU op")
    options, of_pytest = parser.parse_known_args(arguments)
    extension = build()
    environment = {
        **os.environ,
        **({"ATEN_CPU_CAPABILITY": options.instructions} if options.instructions else {}),
        "CXXFLAGS": f"-g1 {' '.join(SANITIZE)} -Wno-error",  # of the CUDA kernels' run on the host
        "LD_PRELOAD": " ".join(library(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python and torch keep memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(FOLDER),
    }
    loaded = [sys.executable, "-c", "import torch, pc_ssl._C; print(pc_ssl._C.__file__)"]
    path = subprocess.check_output(loaded, env=environment, cwd=FOLDER, text=True).strip()
    if path != str(extension):
        raise SystemExit(f"the tests would run on {path} instead of the sanitized {extension}")
    pytest = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--timeout=1800"]  # sanitized, so slow
    command = [*pytest, "-m", "not slow", "-k", LEFT_OUT]
    where = [f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), str(ROOT / "tests/ops")]
    return subprocess.run([*command, "--capture=sys", *where, *of_pytest], env=environment, cwd=FOLDER).returncode


if __name__ == "__main__":
    sys.exit(main())
