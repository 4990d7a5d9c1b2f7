"""Plan files: Python files that define `plan`; tables of papers are defined alike, as `table`.

    # my_plan.py
    from pc_ssl.engine.initial import WHOLE
    from pc_ssl.experiments import Evaluation, Method, Plan, Pretraining

    plan = Plan(
        methods=(Method("scratch"), Method("prc", {WHOLE: Pretraining("prc", "demo/prc", ("method.alpha=0.5",))})),
        evaluations=(Evaluation("finetune", "demo/segmentation", fractions=(0.05,)),),
    )

A plan file is executed when it is read. Open only files that you trust.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TypeVar

from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Plan
from pc_ssl.recipes import PLANS, config_folder

Defined = TypeVar("Defined")


def load_plan(name: Path | str) -> Plan:
    """The plan that a file defines; it is executed.

    Args:
        name: a path that ends in .py, or the name of one of the package's plans.

    Raises:
        UserError: the file or name does not exist, it cannot be executed, or it does not define a `plan`.
    """
    return load_definition(Path(name), "plan", Plan, PLANS)


def load_definition(path: Path, variable: str, kind: type[Defined], folder: str) -> Defined:
    """The value of a variable in a Python file, which is executed.

    Args:
        path: ends in .py, or is the name of a file in one of the package's folders.
        variable: that the file assigns.
        kind: class of its value.
        folder: of the package's configs that holds the named files.

    Raises:
        UserError: the file or name does not exist, it cannot be executed, or the variable is missing or of another
            class.
    """
    path = _find(path, variable, folder)
    try:
        found = runpy.run_path(str(path)).get(variable)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from error
    except Exception as error:  # the file is the user's program: it may raise anything
        message = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be executed ({type(error).__name__}: {message})") from error
    if not isinstance(found, kind):
        raise UserError(f"{path}: `{variable}` is {found!r}, expected a {kind.__module__}.{kind.__name__}")
    return found


def names_in(folder: str) -> dict[str, Path]:
    """The files of one of the package's folders of plans or tables, by name."""
    files = sorted((config_folder() / folder).glob("*.py"))
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def _find(path: Path, variable: str, folder: str) -> Path:
    if path.suffix:
        return path
    known = names_in(folder)
    if str(path) not in known:
        raise UserError(
            f"{variable} {str(path)!r}: expected one of {', '.join(known)}, or a path such as my_{variable}.py for "
            "your own"
        )
    return known[str(path)]
