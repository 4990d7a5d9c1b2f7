"""Checks before hours of pretraining: networks of a plan match, and budgets are equal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pc_ssl.config import RunConfig
from pc_ssl.data.cache import Cache
from pc_ssl.engine.initial import WHOLE
from pc_ssl.engine.labels import Labels
from pc_ssl.errors import UserError
from pc_ssl.experiments.plan import Kind, Permuted, Plan, Pretraining, Weights
from pc_ssl.experiments.runs import Commands, EvaluationRun, PretrainingRun

BUDGET = ("steps", "batch_size")


def check_networks(plan: Plan, commands: Commands) -> None:
    """Check that each pretraining's backbone is the network that its weights are loaded into.

    Raises:
        UserError: the networks differ, or a config cannot be read or is of another kind.
    """
    for pretraining in plan.pretrainings:
        config = _pretraining_config(plan, commands, pretraining)
        network = config.values["method"] if config.kind == "method" else config.values["task"].get("backbone")
        _check_init(plan, commands, config, network, pretraining.init)
    for evaluation in plan.evaluations:
        for method in plan.methods:
            run = EvaluationRun(evaluation, method, evaluation.fractions[0], plan.seeds[0])
            config = commands.config(run)
            if config.kind != "task":
                raise UserError(f"{config.path}: holds a pretraining method, expected a `task`")
            _check_init(plan, commands, config, config.values["task"].get("backbone"), method.init)


def check_budget(plan: Plan, commands: Commands) -> dict[str, Any]:
    """Steps and batch size, as far as all pretrainings without labels share them.

    Raises:
        UserError: they differ, and the plan requires an equal budget.
    """
    shared: dict[str, Any] = {}
    for name in BUDGET:
        values: dict[Any, Path] = {}
        for pretraining in plan.pretrainings:
            config = _pretraining_config(plan, commands, pretraining)
            if config.kind == "task":
                continue
            values.setdefault(config.values["train"].get(name), config.path)
        if len(values) > 1 and plan.equal_budget:
            (first, _), (second, path), *_ = values.items()
            raise UserError(
                f"{path}: train.{name} is {second}, in the other configs {first}; give one for all with "
                f"--{name.replace('_', '-')}"
            )
        if len(values) == 1:
            shared[name] = next(iter(values))
    return shared


def check_labels(plan: Plan, commands: Commands, cache: Cache) -> None:
    """Check that each labelled fraction holds at least a batch.

    Raises:
        UserError: a fraction holds fewer frames, or the cache lacks the split.
    """
    split, counted = plan.train_split or cache.default_split("train"), dict[Labels, int]()
    for evaluation in plan.evaluations:
        if evaluation.kind is not Kind.FINETUNE:
            continue
        for method in plan.methods:
            for fraction in evaluation.fractions:
                run = EvaluationRun(evaluation, method, fraction, plan.seeds[0])
                config = commands.config(run)
                labels = Labels(
                    fraction,
                    rule=config.label_rule,
                    offset=evaluation.label_offset,
                    label_seed=plan.seeds[0] if evaluation.draw_labels else 0,
                    train_split=split,
                    scene_list=evaluation.label_scenes,
                )
                if labels not in counted:  # counting classes reads all frames of the split
                    counted[labels] = len(labels.rows(cache))
                frames, batch_size = counted[labels], config.values["train"]["batch_size"]
                if frames < batch_size:
                    raise UserError(
                        f"{evaluation.name}: label fraction {fraction:g} holds {frames} of the "
                        f"{len(cache.indices(split))} frames of {split} in {cache.path}, fewer than train.batch_size "
                        f"{batch_size} in {config.path}: choose a larger fraction or a smaller batch"
                    )


def _check_init(plan: Plan, commands: Commands, config: RunConfig, network: Any, init: Mapping[str, Weights]) -> None:
    """Check that the parts of a network are the backbones that were pretrained for them.

    Args:
        plan: holds the pretrainings.
        commands: of the plan.
        config: that `network` is from.
        network: the method, or the backbone of the task.
        init: of the pretraining or the method of the plan.

    Raises:
        UserError: a part is missing, or is another network.
    """
    for part, weights in init.items():
        source = weights.of if isinstance(weights, Permuted) else weights
        if not isinstance(source, Pretraining):
            if not source.exists():
                raise UserError(f"{source}: no such file; {config.path} starts from it")
            continue
        expected = _part(config, network, part)
        of_source = _pretraining_config(plan, commands, source)
        found = of_source.values[of_source.kind].get("backbone")
        branches = [] if part != WHOLE else _branches(expected)
        if found != expected and not (len(branches) == 1 and found == branches[0]):
            where = f"{config.kind}.{part or 'backbone'}" if config.kind == "method" else f"task.backbone.{part}"
            raise UserError(
                f"{of_source.path}: {of_source.kind}.backbone is {found}, but {where.rstrip('.')} in {config.path} is "
                f"{expected}; weights are loaded from one into the other, so they must be equal"
            )


def _part(config: RunConfig, network: Any, part: str) -> Any:
    if part == WHOLE:
        return network["backbone"] if config.kind == "method" else network
    for name in part.split("."):
        if not isinstance(network, dict) or name not in network:
            raise UserError(f"{config.path}: has no submodule {part!r} to load pretrained weights into")
        network = network[name]
    return network


def _branches(backbone: Any) -> list[Any]:
    """The sensors' branches of a BEV encoder; one of them may be pretrained as a whole backbone."""
    if not isinstance(backbone, dict):
        return []
    return [backbone[name] for name in ("lidar", "camera") if backbone.get(name) is not None]


def _pretraining_config(plan: Plan, commands: Commands, pretraining: Pretraining) -> RunConfig:
    return commands.config(PretrainingRun(pretraining, plan.seeds[0]))
