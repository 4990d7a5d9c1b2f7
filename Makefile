# One command per target; `make setup` runs once and is quick afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The CPU build of torch, pinned to avoid gigabytes of CUDA packages on machines without a GPU.
# On a GPU machine: make setup TORCH="torch" SPCONV=cu126
TORCH ?= torch==2.13.0
SPCONV ?= cpu
STAMP := $(VENV)/.installed-$(SPCONV)
WORKERS ?= 2

.PHONY: setup demo demo-bev proof proof-plan test test-asan test-numpy2 test-slow test-wheel wheel bench lint format clean

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py $(wildcard csrc/*.cpp csrc/*.h csrc/*/*.cpp csrc/*/*.h csrc/*/*.cu)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "$(TORCH)"
	$(PIP) install --quiet "setuptools>=77" wheel ninja
	@! $(BIN)/python -m pip show --quiet opencv-python 2>/dev/null || $(PIP) uninstall --yes --quiet \
		mmengine opencv-python opencv-python-headless  # of an older setup: two packages with the same files
	$(PIP) install --quiet --no-build-isolation --editable ".[nuscenes,simulate,patchwork,dask,dev]" "$(TORCH)"
	$(PIP) install --quiet --no-build-isolation --editable ".[all,dev]" "$(TORCH)"  # in one step pip would try for minutes
	@test $(SPCONV) = cpu || { $(PIP) uninstall --yes --quiet spconv cumm && $(PIP) install --quiet spconv-$(SPCONV); }
	@touch $@

demo: setup
	$(BIN)/python benchmarks/demo.py

demo-bev: setup
	$(BIN)/python benchmarks/demo_bev.py

# What pretraining buys, with controls: hours, in stages. STAGES=a,b runs some; `make proof-plan` says what is left.
proof: setup
	$(BIN)/python benchmarks/proof.py $(if $(STAGES),--stages $(STAGES))

proof-plan: setup
	$(BIN)/python benchmarks/proof.py --dry-run

# One thread per worker: several threads on one core slow each other down.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

# Tests of the ops with kernels compiled with the address and undefined-behaviour sanitizers.
test-asan: setup
	$(BIN)/python csrc/testing/sanitized.py

# Tests without nuScenes' devkit and the simulator, in a separate environment with numpy 2.
test-numpy2: setup
	$(BIN)/python tests/environments/numpy2.py

# A wheel for this platform in dist/: CPU, and CUDA kernels if a toolkit and a CUDA build of torch are installed.
wheel: setup
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# The wheel in a separate environment, without a compiler: help, a smoke pretraining, region_pool.
test-wheel: wheel
	$(BIN)/python tests/environments/wheel.py dist

test-slow: setup
	$(BIN)/python -m pytest -m slow

bench: setup
	$(PIP) install --quiet --no-build-isolation --editable ".[bench]" "$(TORCH)"
	$(BIN)/python benchmarks/region_pool.py --json work_dirs/bench/region_pool.json
	$(BIN)/python benchmarks/prepare.py --json work_dirs/bench/prepare.json
	$(BIN)/python benchmarks/engine.py --json work_dirs/bench/engine.json
	$(BIN)/python benchmarks/nuscenes_tables.py --peers --json work_dirs/bench/nuscenes_tables.json

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist work_dirs .pytest_cache .mypy_cache .ruff_cache .hypothesis pc_ssl/*.so
