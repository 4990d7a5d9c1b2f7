"""Declaration of an experiment: pretrainings, methods that start from them, evaluations, seeds, budget.

    PRC = Pretraining("prc", "demo/bev_prc")
    RAD = Pretraining("rad", "demo/bev_rad", init={"teacher": PRC})
    plan = Plan(
        methods=(Method("scratch"), Method("prc", {"lidar": PRC}), Method("calico", {"lidar": PRC, "camera": RAD})),
        evaluations=(Evaluation("detection", "demo/bev_detection", fractions=(0.05, 0.1)),),
    )

A plan says nothing about where it runs: `experiment.py` binds it to a cache and a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pc_ssl.engine.initial import WHOLE
from pc_ssl.errors import UserError
from pc_ssl.experiments.selection import Selection

SCRATCH = "scratch"  # the method without pretraining
PRETRAIN = "pretrain"  # folder of the pretrainings, and name of their stage
ALL_LABELS = (1.0,)


@dataclass(frozen=True)
class Pretraining:
    """One pretraining; it runs once for each seed, shared by all methods that start from it.

    Args:
        name: of its folder; distinct within a plan.
        config: name or path of a config with a `method`; or with a `task`, which is trained with all labels of the
            split: what pretraining without labels is measured against (a positive control).
        overrides: `key=value` on top of the config.
        init: submodule of the method, such as "teacher", or WHOLE for its backbone -> an earlier pretraining of the
            same seed, or a file of weights from elsewhere.
        split: of the cache; None: the plan's training split.
        cache: name of other prepared frames, such as those with images, that the experiment knows by this name; "": the
            experiment's own.
        runs: number of seeds for which it runs, the first of the plan; evaluations of later seeds start from these runs
            in turn. None: one for each seed.

    Raises:
        UserError: `runs` is not positive.
    """

    name: str
    config: str | Path
    overrides: tuple[str, ...] = ()
    init: Mapping[str, Weights] = field(default_factory=dict)
    split: str | None = None
    cache: str = ""
    runs: int | None = None

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise UserError(f"pretraining {self.name!r}: runs is {self.runs}, expected at least 1")

    @property
    def chain(self) -> tuple[Pretraining, ...]:
        """The pretrainings that this one starts from, directly or not, in the order in which they run; itself last."""
        return (*chain_of(self.init), self)


@dataclass(frozen=True)
class Permuted:
    """Weights of a pretraining, permuted within each tensor by the run's seed: their scale without what they learned
    (`engine/initial.py`)."""

    of: Pretraining


Weights = Pretraining | Path | Permuted


class Role(Enum):
    """What a start of the downstream runs shows.

    METHOD: what is compared.
    POSITIVE_CONTROL: pretrained with labels; what any pretraining could at most gain. If it does not exceed scratch,
        the benchmark cannot show an effect.
    NEGATIVE_CONTROL: without what the methods claim to learn from. If it exceeds scratch, their gain has another
        cause.
    """

    METHOD = "method"
    POSITIVE_CONTROL = "positive control"
    NEGATIVE_CONTROL = "negative control"


@dataclass(frozen=True)
class Method:
    """A start of the downstream runs.

    Args:
        name: row of the tables; distinct within a plan.
        init: submodule of the downstream backbone, such as "lidar", or WHOLE -> the pretraining of the same seed, or a
            file of weights from elsewhere. Empty: from random weights.
        title: in tables and pictures; "": the name.
        overrides: name of an evaluation -> `key=value` on top of its config for this method alone, such as a learning
            rate that was chosen for it.
        role: see `Role`.
    """

    name: str
    init: Mapping[str, Weights] = field(default_factory=dict)
    title: str = ""
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    role: Role = Role.METHOD

    @property
    def label(self) -> str:
        return self.title or self.name


class Kind(Enum):
    """How pretrained weights are evaluated.

    PROBE: linear classifier of points on the frozen backbone.
    FINETUNE: backbone and head trained together on the labelled fraction.
    ANNOTATION_FREE: points classified by the class texts in the weights; only of methods whose weights hold them.
    """

    PROBE = "probe"
    FINETUNE = "finetune"
    ANNOTATION_FREE = "annotation-free"


@dataclass(frozen=True)
class Variant:
    """Other evaluation data for the networks of an evaluation: they are not trained again.

    Args:
        name: distinct within an evaluation.
        cache: prepared frames; None: the experiment's.
        split: of the cache; None: the plan's validation split.
        transforms: changes of the scenes, as a config lists them under `evaluation_transforms`: dictionaries with
            `type`, the dotted name of a class, and its arguments.
        overrides: `key=value` on top of the config with which the frames are read and evaluated.
    """

    name: str
    cache: Path | None = None
    split: str | None = None
    transforms: tuple[Mapping[str, Any], ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """A downstream task by which all methods are compared.

    Args:
        name: of its folder and its stage; distinct within a plan.
        config: name or path of a config with a `task`.
        kind: see `Kind`.
        fractions: labelled shares of the training scenes, each 1 / n.
        overrides: `key=value` on top of the config, for all methods.
        title: in tables; "": named after its kind.
        variants: further evaluation data.
        label_offset: shift of the labelled scenes, see `engine/labels.py`.
        label_scenes: file that names the labelled scenes; only with all labels in `fractions`.
        label_points: labelled points of each scene: their number, or a file.
        protocol: of a linear probe, as `pc-ssl probe --protocol` names it; None: the command's default.
        draw_labels: the seed of each run also draws its labelled subset, which all methods share; else all seeds have
            the same subset. Only by label rules that draw.
        selection: how the setting of each method and fraction is chosen; None: all train by the config.
    """

    name: str
    config: str | Path
    kind: Kind = Kind.FINETUNE
    fractions: tuple[float, ...] = ALL_LABELS
    overrides: tuple[str, ...] = ()
    title: str = ""
    variants: tuple[Variant, ...] = ()
    label_offset: int = 0
    label_scenes: Path | None = None
    label_points: int | Path | None = None
    protocol: str | None = None
    draw_labels: bool = False
    selection: Selection | None = None

    def __post_init__(self) -> None:
        _check_names(f"variants of evaluation {self.name!r}", [variant.name for variant in self.variants])
        if self.selection is not None:
            _check_names(f"settings of evaluation {self.name!r}", [one.name for one in self.selection.settings])
            if self.kind is Kind.ANNOTATION_FREE:
                raise UserError(f"evaluation {self.name!r}: nothing is trained, so there is no setting to choose")
        if not self.fractions or (self.kind is not Kind.FINETUNE and self.fractions != ALL_LABELS):
            raise UserError(
                f"evaluation {self.name!r}: fractions are {self.fractions}, expected at least one for fine-tuning and "
                f"{ALL_LABELS} for a {self.kind.value}"
            )
        limited = self.label_scenes is not None or self.label_points is not None
        if limited and self.kind is not Kind.FINETUNE:
            raise UserError(f"evaluation {self.name!r}: label_scenes and label_points go with fine-tuning only")
        if self.protocol is not None and self.kind is not Kind.PROBE:
            raise UserError(f"evaluation {self.name!r}: protocol is {self.protocol!r}, but only a probe has one")


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Args:
        methods: rows of the tables; the first is what the others are compared with.
        evaluations: columns of the tables.
        seeds: each pretrains, initialises and evaluates everything anew.
        steps: of every pretraining, instead of its config's.
        batch_size: of every pretraining, instead of its config's.
        equal_budget: refuse pretrainings with different steps or batch sizes.
        train_split: of pretraining and labels; None: the cache's default.
        val_split: for evaluation; None: the cache's default.
        requires_controls: scores are shown only together with those of a positive and a negative control.

    Raises:
        UserError: a name appears twice or cannot name a folder, there is nothing to compare, or settings are chosen on
            the split or by the seeds that are reported.
    """

    methods: tuple[Method, ...]
    evaluations: tuple[Evaluation, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int | None = None
    batch_size: int | None = None
    equal_budget: bool = True
    train_split: str | None = None
    val_split: str | None = None
    requires_controls: bool = False

    def __post_init__(self) -> None:
        names = {
            "methods": [method.name for method in self.methods],
            "evaluations": [evaluation.name for evaluation in self.evaluations],
            "seeds": [str(seed) for seed in self.seeds],
        }
        for what, found in names.items():
            if not found:
                raise UserError(f"plan: {what} is empty, expected at least one")
            _check_names(what, found)
        if PRETRAIN in names["evaluations"]:
            raise UserError(f"plan: evaluation {PRETRAIN!r}: this name is reserved for the pretrainings")
        for method in self.methods:
            if method.name == SCRATCH and method.init:
                raise UserError(f"plan: method {SCRATCH!r}: has weights in `init`, but this name means random weights")
            unknown = [name for name in method.overrides if name not in names["evaluations"]]
            if unknown:
                known = ", ".join(names["evaluations"])
                raise UserError(f"plan: method {method.name!r}: overrides of {unknown[0]!r}, expected one of {known}")
        _check_names("pretrainings", [pretraining.name for pretraining in self.pretrainings])
        for evaluation in self.evaluations:
            self._check_selection(evaluation)

    def _check_selection(self, evaluation: Evaluation) -> None:
        selection = evaluation.selection
        if selection is None:
            return
        shared = sorted(set(selection.seeds) & set(self.seeds))
        if shared:
            raise UserError(
                f"plan: evaluation {evaluation.name!r}: seed {shared[0]} chooses the setting and is reported; give the "
                "selection other seeds"
            )
        if self.val_split is None or selection.split == self.val_split:
            raise UserError(
                f"plan: evaluation {evaluation.name!r}: settings are chosen on split {selection.split!r}, scores are "
                f"of {self.val_split or 'the default split'!r}; name a `val_split` other than the selection's"
            )

    @property
    def pretrainings(self) -> tuple[Pretraining, ...]:
        """All pretrainings that any method starts from; each after those that it starts from."""
        found: list[Pretraining] = []
        for method in self.methods:
            found += [pretraining for pretraining in chain_of(method.init) if pretraining not in found]
        return tuple(found)

    def pretraining_seed(self, pretraining: Pretraining, seed: int) -> int:
        """Seed of the pretraining that a run of this seed starts from; for the choice of settings the plan's first."""
        seeds = self.seeds[: pretraining.runs]
        return seeds[self.seeds.index(seed) % len(seeds)] if seed in self.seeds else seeds[0]

    @property
    def generations(self) -> tuple[tuple[Pretraining, ...], ...]:
        """The pretrainings in groups: each needs weights of the groups before its own only."""
        depth: dict[str, int] = {}
        for pretraining in self.pretrainings:
            before = [depth[earlier.name] + 1 for earlier in pretraining.chain[:-1]]
            depth[pretraining.name] = max(before, default=0)
        return tuple(
            tuple(pretraining for pretraining in self.pretrainings if depth[pretraining.name] == level)
            for level in range(max(depth.values(), default=-1) + 1)
        )

    @property
    def budget_overrides(self) -> tuple[str, ...]:
        """What `steps` and `batch_size` change in every pretraining."""
        given = {"train.steps": self.steps, "train.batch_size": self.batch_size}
        return tuple(f"{name}={value}" for name, value in given.items() if value is not None)


def chain_of(init: Mapping[str, Weights]) -> tuple[Pretraining, ...]:
    """The pretrainings that these weights come from, each once, in the order in which they run."""
    chain: list[Pretraining] = []
    for source in init.values():
        chain += [one for one in _pretrainings(source) if one not in chain]
    return tuple(chain)


def parse_method(text: str) -> Method:
    """`NAME=CONFIG[,key=value...]`: a backbone pretrained with this config; without NAME= it is called after the file.

    Raises:
        UserError: the name cannot name a folder.
    """
    name, config, overrides = parse_config(text)
    return Method(name, {WHOLE: Pretraining(name, config, overrides)})


def parse_config(text: str) -> tuple[str, Path, tuple[str, ...]]:
    """`NAME=CONFIG[,key=value...]` -> name, config, overrides; a comma inside a value does not end it."""
    first, *overrides = re.split(r",(?=[A-Za-z_][\w.]*=)", text)
    match = None if Path(first).exists() else re.fullmatch(r"([^=/]+)=(.+)", first)
    name, config = (match[1], match[2]) if match else (Path(first).stem, first)
    return name, Path(config), tuple(overrides)


def _pretrainings(source: Weights) -> Iterator[Pretraining]:
    if isinstance(source, Permuted):
        yield from source.of.chain
    if isinstance(source, Pretraining):
        yield from source.chain


def _check_names(what: str, names: Iterable[str]) -> None:
    """Names are those of folders.

    Raises:
        UserError: one appears twice, or holds other characters than letters, digits and _ . + -.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what}: {name!r} appears twice; names must be distinct")
        if not re.fullmatch(r"[A-Za-z0-9_][\w.+-]*", name):
            raise UserError(
                f"{what}: name {name!r}: expected letters, digits and _ . + - only, since it names a folder"
            )
        seen.add(name)
