"""The configs of the package, by name, so that a command finds them from any folder.

A config of `pretrain` or `downstream` is called after its file: `prc_nuscenes_second`. Those of the other folders have
the folder in front: `demo/prc`, `smoke/prc_unet`. The folders are `pc_ssl/configs` in an installed package and
`configs` of the source tree. A path is taken as it is; it ends in .py.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from pc_ssl.errors import UserError

PLANS = "plans"  # folder of experiment plans (`experiments/plan_file.py`), which are not configs
TABLES = "tables"  # folder of published tables (`experiments/published_table.py`), which are not configs
UNPREFIXED = ("pretrain", "downstream")  # folders whose configs are called after their files alone
SUFFIX = ".py"


def config_folder() -> Path:
    """The folder of the package's own configs.

    Raises:
        UserError: the installation has none.
    """
    package = Path(__file__).parent
    installed, source = package / "configs", package.parent / "configs"
    if installed.is_dir():
        return installed
    if source.is_dir() and (package.parent / "pyproject.toml").is_file():
        return source
    raise UserError(f"{installed}: no such folder; this installation lacks its configs: install pc-ssl again")


def recipes() -> dict[str, Path]:
    """The package's configs by name, those of `pretrain` and `downstream` first, each folder in alphabetical order."""
    root = config_folder()
    folders = sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir() and path.name not in (PLANS, TABLES) and path.name[0] != "_"
    )
    ordered = [*(name for name in UNPREFIXED if name in folders), *(name for name in folders if name not in UNPREFIXED)]
    return {
        path.stem if folder in UNPREFIXED else f"{folder}/{path.stem}": path
        for folder in ordered
        for path in sorted((root / folder).glob(f"*{SUFFIX}"))
        if not path.name.startswith("_")
    }


def find_config(name: Path | str) -> Path:
    """The config file of an argument: a path that ends in .py, or the name of one of the package's configs.

    Raises:
        UserError: no config has this name. The message lists similar names.
    """
    path, text = Path(name), Path(name).as_posix()
    if path.suffix or path.is_file():
        return path
    known = recipes()
    for candidate in (text, *(text.removeprefix(f"{folder}/") for folder in UNPREFIXED)):
        if candidate in known:
            return known[candidate]
    raise UserError(
        f"config {text!r}: not the name of a config{_similar(text, list(known))}; `pc-ssl configs` lists all names, "
        "and a config of your own is given by its path, such as my_config.py"
    )


def _similar(text: str, known: list[str]) -> str:
    stem = text.rsplit("/", 1)[-1]
    same_file = [name for name in known if name.rsplit("/", 1)[-1] == stem]
    close = [*same_file, *(name for name in difflib.get_close_matches(text, known, n=3) if name not in same_file)]
    return f" (did you mean {' or '.join(close[:3])}?)" if close else ""
