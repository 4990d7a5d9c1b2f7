"""Imports point one way: a package imports only from the layers before its own."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"errors", "version"},
    {"extras"},
    {"files", "progress", "pretrained", "taxonomies", "derived"},
    {"structures"},
    {"geometry"},
    {"ops"},
    {"losses", "models", "data", "views", "protocols"},
    {"methods", "heads"},
    {"doctor"},
    {"evaluation"},
    {"config", "recipes", "published", "interop"},
    {"engine"},
    {"hub"},
    {"experiments"},
    {"report"},
    {"features"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
DATA_PREP_MAY_IMPORT = {
    *("errors", "extras", "files", "progress", "structures", "geometry"),
    *("data.cache", "data.fields", "data.images", "data.label_maps"),
    *("taxonomies", "protocols"),
    *("models.clip", "pretrained"),  # frozen networks that label images
}

# What brings a module, where that cannot be asked: it is optional, or another package of the same files is installed.
BROUGHT_BY = {"rerun": "rerun-sdk", "mmengine": "mmengine-lite"}


def imports_of(path: Path) -> set[str]:
    """Dotted modules that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_package_imports_only_from_the_layers_before_it() -> None:
    wrong = []
    for path in (ROOT / "pc_ssl").rglob("*.py"):
        layer = path.relative_to(ROOT / "pc_ssl").parts[0].removesuffix(".py")
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "pc_ssl" and len(parts) > 1 and layer != "__init__":
                target = parts[1]
                if target in RANK and target != layer and RANK[target] > RANK[layer]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_every_module_has_a_layer() -> None:
    found = {path.name.removesuffix(".py") for path in (ROOT / "pc_ssl").iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__pycache__"} <= set(RANK)


def test_only_the_command_line_imports_data_prep() -> None:
    importers = {
        path for path in (ROOT / "pc_ssl").rglob("*.py") if any(n.startswith("data_prep") for n in imports_of(path))
    }
    assert importers <= {ROOT / "pc_ssl" / "cli" / name for name in ("features.py", "prepare.py", "simulate.py")}


def test_data_prep_imports_little_of_pc_ssl() -> None:
    wrong = []
    for path in (ROOT / "data_prep").rglob("*.py"):
        for name in imports_of(path):
            if name.startswith("pc_ssl."):
                inner = name.removeprefix("pc_ssl.")
                if not any(inner == allowed or inner.startswith(allowed + ".") for allowed in DATA_PREP_MAY_IMPORT):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {_plain(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in wanted}
    distributions = packages_distributions()
    missing = set()
    for folder in ("pc_ssl", "data_prep"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names):
                brought_by = {_plain(of) for of in (*distributions.get(name, []), BROUGHT_BY.get(name, name))}
                if name not in ("pc_ssl", "data_prep") and not brought_by & declared:
                    missing.add(f"{path.relative_to(ROOT)} imports {name}")
    assert not missing, missing


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_module_imports_itself_through_others() -> None:
    modules = modules_below(ROOT, "pc_ssl", "data_prep")
    assert len(modules) > 250
    assert cycle(modules) == []


def test_a_cycle_is_found_at_import_level_alone(tmp_path: Path) -> None:
    files = {
        "a/__init__.py": "from a.low import x",
        "a/low.py": "import b.high",
        "b/__init__.py": "",
        "b/high.py": "try:\n    from a import x\nexcept ImportError:\n    pass",
        "b/checked.py": "if TYPE_CHECKING:\n    import b.late",
        "b/late.py": "import b.checked\ndef f() -> None:\n    import a",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    modules = modules_below(tmp_path, "a", "b")
    assert set(cycle(modules)) == {"a", "a.low", "b.high"}
    modules.pop("a.low")
    assert cycle(modules) == []
    (tmp_path / "b/checked.py").write_text("from b import x")
    (tmp_path / "b/__init__.py").write_text("from b.checked import x")
    assert set(cycle(modules)) == {"b", "b.checked"}


def modules_below(root: Path, *packages: str) -> dict[str, Path]:
    """Dotted name of each module and package -> its file."""
    paths = [path for package in packages for path in (root / package).rglob("*.py")]
    dotted = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path for path, name in dotted.items()}


def cycle(modules: Mapping[str, Path]) -> list[str]:
    """Modules of which each imports the next as it is imported itself, the last the first; empty if there are none."""
    imported: dict[str, set[str]] = {}
    for importer, path in modules.items():
        found = imported[importer] = set()
        for target in imports_at_once(ast.parse(path.read_text()).body, modules):
            packages = [target[:end] for end, letter in enumerate(target) if letter == "."]  # are imported before it
            found |= {target, *(name for name in packages if not importer.startswith(f"{name}."))} & set(modules)
    try:
        TopologicalSorter({name: names - {name} for name, names in imported.items()}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def imports_at_once(body: Iterable[ast.stmt], modules: Container[str]) -> Iterator[str]:
    """Dotted modules that statements import when they are executed: neither for the type checker nor in functions."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in full)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imports_at_once(node.orelse, modules)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            inner = (child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom))
            yield from imports_at_once(inner, modules)


def test_members_of_contracts_are_read_and_not_asked_for() -> None:
    asked = []
    for package in ("data", "engine", "evaluation", "report"):
        for path in (ROOT / "pc_ssl" / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_asking = isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr")
                if is_asking and ast.unparse(node.args[0]) != "self":  # a class may loop over its own fields
                    asked.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert not asked, asked


def test_every_package_lists_its_public_names() -> None:
    packages = [path for folder in ("pc_ssl", "data_prep") for path in (ROOT / folder).rglob("__init__.py")]
    assert len(packages) > 20
    without = [str(path.relative_to(ROOT)) for path in packages if "\n__all__ = [" not in f"\n{path.read_text()}"]
    assert without == []


def test_spconv_is_imported_in_one_file() -> None:
    importers = {
        path for path in (ROOT / "pc_ssl").rglob("*.py") if any(n.split(".")[0] == "spconv" for n in imports_of(path))
    }
    assert importers == {ROOT / "pc_ssl" / "models" / "sparse.py"}


def test_the_package_and_its_help_import_no_heavy_library() -> None:
    code = "import sys, pc_ssl.cli; print({'open3d', 'spconv', 'matplotlib', 'nuscenes', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
