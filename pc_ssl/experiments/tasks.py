"""Default evaluations of a downstream task, for users who give only its config."""

from __future__ import annotations

import pkgutil

from pc_ssl.config import load_config
from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Evaluation, Kind, parse_config
from pc_ssl.heads.segmentation import SegmentationTask


def evaluations_of(text: str, fractions: tuple[float, ...], several: bool) -> tuple[Evaluation, ...]:
    """Points: linear probe, fine-tuning, and annotation-free where weights hold class texts. Else: fine-tuning.

    Args:
        text: `[NAME=]CONFIG[,key=value...]`.
        fractions: labelled shares in fine-tuning.
        several: whether other tasks are compared too, so that names and titles must say which one this is.

    Raises:
        UserError: the config cannot be read, or holds no task.
    """
    name, path, overrides = parse_config(text)
    config = load_config(path, overrides)
    if config.kind != "task":
        raise UserError(f"{config.path}: holds a pretraining method, expected a `task`")
    points = issubclass(pkgutil.resolve_name(config.values["task"]["type"]), SegmentationTask)
    kinds = (Kind.PROBE, Kind.FINETUNE, Kind.ANNOTATION_FREE) if points else (Kind.FINETUNE,)
    prefix = f"{name}-" if several else ""
    titles = {Kind.PROBE: f"{name}, linear probe", Kind.FINETUNE: name, Kind.ANNOTATION_FREE: f"{name} annotation-free"}
    return tuple(
        Evaluation(
            f"{prefix}{kind.value}",
            path,
            kind,
            fractions if kind is Kind.FINETUNE else (1.0,),
            overrides,
            titles[kind] if several else "",
        )
        for kind in kinds
    )
