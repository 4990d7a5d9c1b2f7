"""Image backbones of transformers (`AutoBackbone`), with local weights, weights of the hub, or random ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pc_ssl.errors import UserError
from pc_ssl.models.frozen import FrozenParts
from pc_ssl.pretrained import WEIGHTS

PROBE_SIZE = (224, 224)  # pixels of the meta image that shows which parameters the maps depend on


class ImageBackbone(FrozenParts):
    """A model of transformers that gives maps of several stages. Parameters that no map depends on are not trained.

    Args:
        model: a model of `AutoBackbone`.
        frozen: its weights and its batch norms never change.
    """

    def __init__(self, model: Any, frozen: bool = False) -> None:
        super().__init__()
        self.model, self.frozen = model, frozen
        self.channels: tuple[int, ...] = tuple(model.channels)
        if frozen:
            self.freeze("model")
        else:
            for name in _without_gradient(model):
                self.model.get_parameter(name).requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """[n, 3, H, W], normalised by ImageNet's mean and standard deviation -> one map [n, channels[k], h_k, w_k] per
        stage, from fine to coarse."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return list(self.model(image).feature_maps)


class PretrainedBackbone(ImageBackbone):
    """A network with weights: Swin, ResNet, ConvNeXt, DINOv2, ... as transformers saves them.

    Args:
        source: a folder that `save_pretrained` wrote, or the name of a model on the hub, such as
            "microsoft/swin-tiny-patch4-window7-224", "microsoft/resnet-50", "facebook/convnext-tiny-224" or
            "facebook/dinov2-small".
        stages: numbers of the stages whose maps are given; 0 is the stem.
        frozen: its weights and its batch norms never change.

    Raises:
        UserError: the model is not found, or its weights are not safetensors or do not match the network.
    """

    def __init__(self, source: str, stages: Sequence[int] = (2, 3, 4), frozen: bool = False) -> None:
        super().__init__(_load(source, stages), frozen)


class RandomResNet(ImageBackbone):
    """A ResNet (He et al., CVPR 2016) with random weights; the defaults are those of ResNet-50.

    Args:
        channels: of the stages; the first has stride 4, each further one twice the previous stride.
        depths: blocks of each stage.
        stem_channels: of the 7 x 7 convolution before them.
        bottleneck: blocks have three convolutions instead of two.
        stages: numbers of the stages whose maps are given, from 1.
        frozen: its weights and its batch norms never change.
    """

    def __init__(
        self,
        channels: Sequence[int] = (256, 512, 1024, 2048),
        depths: Sequence[int] = (3, 4, 6, 3),
        stem_channels: int = 64,
        bottleneck: bool = True,
        stages: Sequence[int] = (2, 3, 4),
        frozen: bool = False,
    ) -> None:
        from transformers import AutoBackbone, ResNetConfig

        config = ResNetConfig(
            embedding_size=stem_channels,
            hidden_sizes=list(channels),
            depths=list(depths),
            layer_type="bottleneck" if bottleneck else "basic",
            out_features=[f"stage{stage}" for stage in stages],
        )
        super().__init__(AutoBackbone.from_config(config), frozen)


def _without_gradient(model: Any) -> list[str]:
    """Parameters that no map depends on: stages after the last map, and Swin's last norm.

    Distributed training waits for a gradient of every trainable parameter.
    """
    from transformers import AutoBackbone

    with torch.device("meta"), torch.enable_grad():
        twin = AutoBackbone.from_config(model.config)
        maps = twin(torch.zeros(1, 3, *PROBE_SIZE)).feature_maps
        names, parameters = zip(*twin.named_parameters(), strict=True)
        found = torch.autograd.grad(sum(one.sum() for one in maps), parameters, allow_unused=True)
    return [name for name, gradient in zip(names, found, strict=True) if gradient is None]


def _load(source: str, stages: Sequence[int]) -> Any:
    import transformers
    from safetensors import SafetensorError
    from transformers import AutoBackbone, AutoConfig

    transformers.utils.logging.disable_progress_bar()
    local = Path(source).is_dir()
    if local and not any((Path(source) / name).is_file() for name in WEIGHTS):
        raise UserError(f"{source}: holds no {WEIGHTS[0]}; weights are read from safetensors only")
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local, out_indices=list(stages))
        with torch.device("meta"):  # AutoBackbone.from_pretrained does not accept folders
            kind = type(AutoBackbone.from_config(config))
        with torch.device("cpu"):  # also where the enclosing network is built on "meta"
            model, report = kind.from_pretrained(
                source, config=config, local_files_only=local, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, SafetensorError) as error:
        where = "the model cannot be loaded" if local else "neither a folder nor a model of the hub"
        raise UserError(f"{source}: {where} ({str(error).splitlines()[0]})") from error
    missing, mismatched = sorted(report["missing_keys"]), sorted(report.get("mismatched_keys", ()))
    # Norms of the maps belong to the backbone alone: a model that was saved for another task lacks them.
    missing = [name for name in missing if not name.startswith("hidden_states_norms.")]
    matched = len(model.state_dict()) - len(missing) - len(mismatched)
    print(
        f"{source}: {matched} of {len(model.state_dict())} tensors of the image backbone match, "
        f"{len(report['unexpected_keys'])} unexpected"
    )
    if missing or mismatched:
        first = missing[0] if missing else mismatched[0]
        raise UserError(f"{source}: the weights do not match the network: {first!r} is missing or of another shape")
    return model
