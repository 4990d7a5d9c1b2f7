"""Plan files: Python files that define `plan`.

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

from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Plan
from pc_ssl.recipes import PLANS, config_folder


def load_plan(name: Path | str) -> Plan:
    """The plan that a file defines; it is executed.

    Args:
        name: a path that ends in .py, or the name of one of the package's plans.

    Raises:
        UserError: the file or name does not exist, it cannot be executed, or it does not define a `plan`.
    """
    path = _find(Path(name))
    try:
        found = runpy.run_path(str(path)).get("plan")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from error
    except Exception as error:  # the file is the user's program: it may raise anything
        message = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be executed ({type(error).__name__}: {message})") from error
    if not isinstance(found, Plan):
        raise UserError(f"{path}: `plan` is {found!r}, expected a pc_ssl.experiments.Plan")
    return found


def _find(path: Path) -> Path:
    if path.suffix:
        return path
    folder = config_folder() / PLANS
    known = {file.stem: file for file in sorted(folder.glob("*.py"))}
    if str(path) not in known:
        raise UserError(
            f"plan {str(path)!r}: expected one of {', '.join(known)}, or a path such as my_plan.py for your own"
        )
    return known[str(path)]
