"""A small CLIP for machines without CLIP's weights: a dual encoder trained on simulated images and class captions.

It is trained on image patches whose class is that of the projected LiDAR labels, and on sentences that name the class
("a photo of a traffic cone."), by the cross-entropy of their similarities, through the same path by which MaskCLIP
reads dense features. It stands in for CLIP in tests and demos of CLIP2Scene; its vocabulary is that of one data set.
The folder that it writes has the format of any CLIPModel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pc_ssl.data.cache import Cache
from pc_ssl.engine.options import TrainOptions
from pc_ssl.engine.teachers import inverse_root_weight, labelled_classes, train_teacher, whole_patches
from pc_ssl.losses.reduction import connected_zero
from pc_ssl.models.clip import clip_pixels, dense_features
from pc_ssl.models.prompts import TEMPLATES
from pc_ssl.structures import SensorBatch
from pc_ssl.views.camera import MEAN, STD
from pc_ssl.views.sensors import SensorViews

END = "<|endoftext|>"
UNKNOWN = "<|unknown|>"
START = "<|startoftext|>"
# By their ids. CLIP's text feature is that of the end token; if its id is 2, transformers takes the highest id instead.
SPECIAL = (UNKNOWN, END, START)


@dataclass(frozen=True)
class TeacherOptions:
    """Size and training of the teacher.

    Args:
        steps: of training.
        seed: of all randomness.
        patch: edge of a patch, pixels.
        hidden: channels of both encoders; a multiple of 4, their number of heads.
        layers: of each encoder.
        channels: of the common space.
        width, height: images are resized to, pixels; rounded down to whole patches.
        batch_size: frames for each step.
        learning_rate: peak of the schedule.
    """

    steps: int = 300
    seed: int = 0
    patch: int = 8
    hidden: int = 96
    layers: int = 3
    channels: int = 64
    width: int = 320
    height: int = 176
    batch_size: int = 1
    learning_rate: float = 1e-3


class ClipTeacher(nn.Module):
    """Trains a CLIPModel on labelled patches.

    Args:
        clip: the model, in the attribute `backbone`.
        tokens: [C, T, L] int64: each class in each of T templates, as ids.
        mask: [C, T, L] int64: 1 for tokens, 0 for padding.
        views: with images, labels and pairs.
    """

    tokens: Tensor
    mask: Tensor

    def __init__(self, clip: Any, tokens: Tensor, mask: Tensor, views: SensorViews) -> None:
        super().__init__()
        self.backbone, self.views = clip, views
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    collate = staticmethod(SensorBatch.pack)

    def forward(self, batch: SensorBatch) -> dict[str, Tensor]:
        """ "loss": cross-entropy of each labelled patch over the classes' sentences, one per patch; "accuracy"."""
        assert batch.cameras is not None
        patch, label = self.labelled_patches(batch)
        image = batch.cameras.image.flatten(0, 1)
        pixels = clip_pixels(image, MEAN, STD)
        feature = dense_features(self.backbone, pixels).flatten(2).transpose(1, 2).flatten(0, 1)[patch]
        drawn = torch.randint(len(TEMPLATES), (len(self.tokens),), device=self.tokens.device)
        classes = torch.arange(len(self.tokens), device=self.tokens.device)
        hidden = self.backbone.text_model(self.tokens[classes, drawn], self.mask[classes, drawn]).pooler_output
        text = normalize(self.backbone.text_projection(hidden), dim=1)
        logits = feature @ text.T * self.backbone.logit_scale.exp()
        unused = connected_zero(*self.parameters())
        if len(label) == 0:
            return {"loss": unused, "accuracy": unused.detach()}
        weight = inverse_root_weight(label, len(text))
        return {
            "loss": cross_entropy(logits, label, weight=weight) + unused,
            "accuracy": (logits.argmax(dim=1) == label).float().mean(),
        }

    def labelled_patches(self, batch: SensorBatch) -> tuple[Tensor, Tensor]:
        """Index of each patch with labelled points, over all images, and the majority class 0..C - 1 of its points."""
        assert batch.cameras is not None
        assert batch.pairs is not None
        assert batch.label is not None
        size, classes = self.backbone.config.vision_config.patch_size, len(self.tokens)
        rows, columns = batch.cameras.image.shape[3] // size, batch.cameras.image.shape[4] // size
        place = (batch.pairs.pixel / size).long()
        patch = (batch.pairs.camera * rows + place[:, 1]) * columns + place[:, 0]
        label = batch.label[batch.pairs.point]
        votes = torch.bincount(
            patch[label > 0] * classes + label[label > 0] - 1,
            minlength=batch.cameras.image.shape[:2].numel() * rows * columns * classes,
        ).unflatten(0, (-1, classes))
        seen = votes.sum(dim=1).nonzero()[:, 0]
        return seen, votes[seen].argmax(dim=1)


def train_clip_teacher(cache: Cache, out: Path, options: TeacherOptions, *, device: str = "auto") -> None:
    """Train, and write a CLIPModel and its tokenizer to `out`.

    Args:
        cache: frames with labels and images; its scenes must differ from those that the teacher is used on.
        out: folder for the model; `out`/train keeps the training run, from which a stopped run resumes.
        options: size and training.
        device: "cpu", "cuda" or "auto".

    Raises:
        UserError: the cache has no labels or no images, or `out` cannot be written.
    """
    names = labelled_classes(cache)
    tokenizer = make_tokenizer(names)
    sentences = [template.format(name) for name in names for template in TEMPLATES]
    encoded = tokenizer(sentences, padding=True, return_tensors="pt")
    shape = (len(names), len(TEMPLATES), -1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        clip = make_clip(options, len(tokenizer), encoded["input_ids"].shape[1])
    views = SensorViews(
        images=whole_patches(cache, options.width, options.height, options.patch), label=True, pairs=True
    )
    task = ClipTeacher(clip, encoded["input_ids"].reshape(shape), encoded["attention_mask"].reshape(shape), views)
    training = TrainOptions(
        steps=options.steps, batch_size=options.batch_size, learning_rate=options.learning_rate, seed=options.seed,
        num_workers=0, log_every=20, checkpoint_every=50,
    )  # fmt: skip

    def save(folder: Path) -> None:
        clip.cpu().eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    train_teacher(task, cache, out, training, vars(options), save, device)


def make_tokenizer(names: Sequence[str]) -> Any:
    """Words of the templates and of the names of classes, one id each; a sentence has a start and an end token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.BertPreTokenizer()
    text = " ".join([*TEMPLATES, *names]).replace("{}", " ").lower()
    words = sorted({word for word, _ in splitter.pre_tokenize_str(text)})
    ids = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(ids, UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), splitter
    marks = [(mark, ids[mark]) for mark in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{START} $A {END}", None, marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=UNKNOWN, bos_token=START, eos_token=END, pad_token=END
    )


def make_clip(options: TeacherOptions, words: int, length: int) -> Any:
    """A CLIPModel of the options' size, randomly initialised."""
    from transformers import CLIPConfig, CLIPModel

    shared = {
        "hidden_size": options.hidden,
        "intermediate_size": 2 * options.hidden,
        "num_hidden_layers": options.layers,
        "num_attention_heads": 4,
    }
    start, end = SPECIAL.index(START), SPECIAL.index(END)
    text = {"vocab_size": words, "max_position_embeddings": length, "bos_token_id": start, "eos_token_id": end}
    vision = {"image_size": options.height // options.patch * options.patch, "patch_size": options.patch}
    return CLIPModel(
        CLIPConfig(
            text_config=shared | text | {"pad_token_id": end},
            vision_config=shared | vision,
            projection_dim=options.channels,
        )
    )
