"""Evaluation reads frames by the same path as training, changed by transforms, without augmentation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pc_ssl.config import load_config
from pc_ssl.data.cache import Cache
from pc_ssl.engine.batches import evaluation_batches
from pc_ssl.engine.downstream import build_task, evaluate_task
from pc_ssl.errors import UserError
from pc_ssl.protocols import SceneTransform
from pc_ssl.structures import Scene

SEGMENTATION = Path(__file__).parents[2] / "configs" / "smoke" / "segmentation.py"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class DropPoints(SceneTransform):
    """Leaves out a random share of the points, as weather does."""

    share: float

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        return scene.keep(torch.from_numpy(rng.random(len(scene.points)) >= self.share))


def test_frames_come_as_they_were_recorded(street_cache: Cache) -> None:
    task = build_task(load_config(SEGMENTATION), street_cache, seed=0)
    for frame, batch in evaluation_batches(task, street_cache, [0, 3], CPU):
        assert torch.equal(batch.points.points, frame["points"])
        assert torch.equal(batch.label, frame["label"].long())


def test_transforms_change_what_is_evaluated_on_and_repeat(street_cache: Cache) -> None:
    config = load_config(SEGMENTATION)
    task = build_task(config, street_cache, seed=0)
    first, again = (
        [batch.points.points for _, batch in evaluation_batches(task, street_cache, [0, 3], CPU, (DropPoints(0.5),))]
        for _ in range(2)
    )
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    labelled = int((street_cache[0]["label"] > 0).sum())
    whole, half = (
        evaluate_task(config, task, street_cache, [0], CPU, transforms=transforms)
        for transforms in ((), (DropPoints(0.5),))
    )
    assert sum(whole.labelled) == labelled
    assert 0.4 * labelled < sum(half.labelled) < 0.6 * labelled


def test_a_config_lists_its_transforms() -> None:
    paste = "{'type': 'pc_ssl.data.object_bank.ObjectPaste', 'counts': {'car': 3}}"
    (transform,) = load_config(SEGMENTATION, [f"transforms=[{paste}]"]).transforms
    assert transform.counts == {"car": 3}
    assert load_config(SEGMENTATION).transforms == ()
    for wrong in (paste, "3", "[3]"):
        with pytest.raises(UserError, match=r"segmentation\.py: transforms is"):
            load_config(SEGMENTATION, [f"transforms={wrong}"])
