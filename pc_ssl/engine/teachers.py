"""What the trainings of the simulator's image teachers share: labelled images in, a folder of transformers out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pc_ssl.data.cache import MANIFEST, Cache
from pc_ssl.data.content import check_content, with_images
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.images import decode_image
from pc_ssl.engine.distributed import join
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.train import train
from pc_ssl.errors import UserError
from pc_ssl.files import sha256_of
from pc_ssl.views.camera import ImageAugmentation


def labelled_classes(cache: Cache) -> list[str]:
    """Names of the classes of points, "ignore" left out, underscores as spaces.

    Raises:
        UserError: the cache has no labels.
    """
    names = [name.replace("_", " ") for name in cache.class_names[1:]]
    if not names:
        raise UserError(f"{cache.path / MANIFEST}: classes.label is empty; a teacher is trained on class names")
    return names


def whole_patches(cache: Cache, width: int, height: int, patch: int) -> ImageAugmentation:
    """Images resized to about `width` and cropped at the top to at most `height`, both rounded down to whole patches.

    Raises:
        UserError: the cache's frames have no images.
    """
    frame = cache[0]
    key = next((key for key in frame.keys() if key.startswith("image/")), None)  # noqa: SIM118
    if key is None:
        raise UserError(f"{frame.path}: the frame has no images; a teacher is trained on images")
    rows_found, columns_found = decode_image(frame[key].numpy()).shape[:2]
    factor = width / columns_found
    columns, rows = width // patch, min(height, round(rows_found * factor)) // patch
    return ImageAugmentation(columns * patch, rows * patch, (factor, factor * 1.2), rotation=0.0, flip=0.5)


def inverse_root_weight(label: Tensor, num_classes: int) -> Tensor:
    """[C] float32: weights of classes in a cross-entropy, one over the root of their number in `label` [N]."""
    return torch.bincount(label, minlength=num_classes).clamp(min=1).float() ** -0.5


def train_teacher(
    task: Any,
    cache: Cache,
    out: Path,
    training: TrainOptions,
    options: Mapping[str, Any],
    save: Callable[[Path], None],
    device: str,
) -> None:
    """Train `task` on the cache's training split, and write its model to `out`.

    Args:
        task: a training object, initialised.
        cache: frames with labels and images.
        out: folder for the model; `out`/train keeps the training run, from which a stopped run resumes.
        training: options of the run.
        options: everything else that the weights depend on.
        save: writes the trained model's files to a folder; one of them is config.json.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: a frame lacks images, pairs or labels, or `out` cannot be written.
    """
    split = cache.default_split("train")
    rows = with_images(cache, cache.indices(split), task.views.reads, f"split {split}")
    scenes = CacheScenes(cache, rows, None, task.views)
    check_content(cache, rows, task.views.reads, f"split {split}")
    settings = {"cache": sha256_of(cache.path / MANIFEST)} | {f"teacher.{k}": v for k, v in options.items()}
    train(task, scenes, training, out / "train", resume=True, device=device, settings=settings)
    with join(device) as process:
        if process.is_first:
            _save(save, out)


def _save(save: Callable[[Path], None], out: Path) -> None:
    """Write the model's files atomically: first in a temporary folder next to `out`, then renamed."""
    temporary = out / "unfinished"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        save(temporary)
        for path in sorted(temporary.iterdir(), key=lambda path: path.name == "config.json"):  # config.json last
            path.replace(out / path.name)
        temporary.rmdir()
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from error
