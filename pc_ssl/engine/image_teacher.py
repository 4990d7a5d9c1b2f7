"""A small convolutional image network for machines without published weights, trained on simulated images.

A ResNet learns the class of the pixels that labelled LiDAR points project to, on streets other than those on which it
teaches. It is the image network of SLidR, PPKT and ScaLR on simulated streets (`PretrainedBackbone(source=folder)`); a
ResNet of the same size with random weights (`RandomResNet`) is the negative control. The folder has the format of any
ResNet of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pc_ssl.data.cache import Cache
from pc_ssl.data.content import with_images
from pc_ssl.engine.batches import evaluation_batches
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.teachers import inverse_root_weight, labelled_classes, train_teacher, whole_patches
from pc_ssl.evaluation.segmentation import SegmentationMetric, SegmentationResult
from pc_ssl.losses.reduction import connected_zero
from pc_ssl.models.camera import PixelFeatures, RandomResNet
from pc_ssl.models.features import at_pixels
from pc_ssl.structures import SensorBatch
from pc_ssl.views.sensors import SensorViews

STRIDE = 16  # of the last of three stages; the sides of the images are multiples of it


@dataclass(frozen=True)
class ImageTeacherOptions:
    """Size and training of the teacher.

    Args:
        steps: of training.
        seed: of all randomness.
        channels: of the three stages, of strides 4, 8 and 16.
        depths: residual blocks of each stage.
        stem_channels: of the first convolution.
        width, height: images are resized to, pixels; rounded down to multiples of 16.
        batch_size: frames for each step.
        learning_rate: peak of the schedule.
    """

    steps: int = 1200
    seed: int = 0
    channels: tuple[int, int, int] = (32, 64, 64)
    depths: tuple[int, int, int] = (1, 1, 1)
    stem_channels: int = 32
    width: int = 320
    height: int = 176
    batch_size: int = 1
    learning_rate: float = 3e-3


class ImageTeacher(nn.Module):
    """Trains the image network `backbone` on labelled pixels.

    Args:
        backbone: image network with `out_channels`.
        num_classes: C, "ignore" left out.
        views: with images, labels and pairs.
    """

    networks: ClassVar[tuple[str, ...]] = ()  # none reads points, whose cost and grid the engine would ask for

    def __init__(self, backbone: PixelFeatures, num_classes: int, views: SensorViews) -> None:
        super().__init__()
        self.backbone, self.views = backbone, views
        self.classifier = nn.Linear(backbone.out_channels, num_classes)

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss": cross-entropy of the pixels that labelled points project to, over the C classes; "accuracy"."""
        assert batch.pairs is not None
        assert batch.label is not None
        label = batch.label[batch.pairs.point]
        logits, label = self._logits(batch)[label > 0], label[label > 0] - 1
        unused = connected_zero(*self.parameters())
        if len(label) == 0:
            return {"loss": unused, "accuracy": unused.detach()}
        weight = inverse_root_weight(label, logits.shape[1]).to(logits)
        return {
            "loss": cross_entropy(logits, label, weight=weight) + unused,
            "accuracy": (logits.argmax(dim=1) == label).float().mean(),
        }

    @torch.no_grad()
    def predict(self, batch: SensorBatch) -> Tensor:
        """[P] int64 in 1..C: the class of the pixel of each of the batch's pairs; call it in eval mode."""
        return self._logits(batch).argmax(dim=1) + 1

    def _logits(self, batch: SensorBatch) -> Tensor:
        """[P, C] of the pixels of the batch's pairs."""
        assert batch.cameras is not None
        assert batch.pairs is not None
        image = batch.cameras.image.flatten(0, 1)
        return self.classifier(at_pixels(self.backbone(image), image.shape[2:], batch.pairs))


def train_image_teacher(
    cache: Cache, out: Path, options: ImageTeacherOptions, *, device: str = "auto"
) -> SegmentationResult:
    """Train, write a ResNet of transformers to `out`, and evaluate it on the cache's validation split.

    Args:
        cache: frames with labels and images; its scenes must differ from those that the teacher is used on.
        out: folder for the model; `out`/train keeps the training run, from which a stopped run resumes.
        options: size and training.
        device: "cpu", "cuda" or "auto".

    Returns:
        How well the trained network classifies the pixels that points of the validation split project to.

    Raises:
        UserError: the cache has no labels, no images or no validation split, or `out` cannot be written.
    """
    names, held_out = labelled_classes(cache), cache.default_split("val")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = RandomResNet(
            options.channels, options.depths, options.stem_channels, bottleneck=False, stages=(1, 2, 3)
        )
        task = ImageTeacher(
            PixelFeatures(network, None),
            len(names),
            SensorViews(images=whole_patches(cache, options.width, options.height, STRIDE), label=True, pairs=True),
        )
    training = TrainOptions(
        steps=options.steps, batch_size=options.batch_size, learning_rate=options.learning_rate, seed=options.seed,
        num_workers=0, log_every=20, checkpoint_every=100,
    )  # fmt: skip

    def save(folder: Path) -> None:
        network.model.cpu().eval().save_pretrained(folder)

    train_teacher(task, cache, out, training, vars(options), save, device)
    return _evaluated(task, cache, held_out)


def _evaluated(task: ImageTeacher, cache: Cache, split: str) -> SegmentationResult:
    """The classes of the pixels of a split, on the CPU."""
    task.cpu().eval()
    metric = SegmentationMetric(cache.class_names)
    rows = with_images(cache, cache.indices(split), task.views.reads, f"split {split}")
    for frame, batch in evaluation_batches(task, cache, rows, torch.device("cpu")):
        metric.update(task.predict(batch), batch.label[batch.pairs.point], frame.scene)
    return metric.result()
