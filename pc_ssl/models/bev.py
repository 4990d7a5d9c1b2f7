"""2D convolutions over maps of the ground plane."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _convolution(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """3 x 3 convolution that keeps the extent, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class BevNeck(nn.Module):
    """Stages of 2D convolutions, each at half the resolution of the previous one; their maps are joined at one of them.

    Args:
        in_channels: channels of the map.
        channels: channels of the stages.
        layers: 3 x 3 convolutions of each stage.
        upsampled_channels: channels of each stage in the result.
        first_stride: stride of the first stage.
        level: index, from 0, of the stage whose resolution the joined map has; earlier stages are downsampled by a
            strided convolution, later ones upsampled by a transposed one.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        layers: Sequence[int],
        upsampled_channels: int,
        first_stride: int = 1,
        level: int = 0,
    ) -> None:
        super().__init__()
        self.out_channels = upsampled_channels * len(channels)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for stage, (out_channels, count) in enumerate(zip(channels, layers, strict=True)):
            widths = [in_channels, *[out_channels] * count]
            strides = [first_stride if stage == 0 else 2, *[1] * (count - 1)]
            self.down.append(nn.Sequential(*(_convolution(widths[i], out_channels, strides[i]) for i in range(count))))
            kind, scale = (
                (nn.ConvTranspose2d, 2 ** (stage - level)) if stage >= level else (nn.Conv2d, 2 ** (level - stage))
            )
            self.up.append(
                nn.Sequential(
                    kind(out_channels, upsampled_channels, scale, scale, bias=False),
                    nn.BatchNorm2d(upsampled_channels),
                    nn.ReLU(),
                )
            )
            in_channels = out_channels

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """The stages, each with the layers that bring its map to the joined resolution; see `Network.blocks`."""
        return tuple((f"down.{stage}", f"up.{stage}") for stage in range(len(self.down)))

    def forward(self, bev: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H / s, W / s], where s is the stride of the stages to `level`."""
        joined = []
        for down, up in zip(self.down, self.up, strict=True):
            bev = down(bev)
            joined.append(up(bev))
        return torch.cat(joined, dim=1)


def below(name: str, blocks: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The blocks of the submodule `name`, by their names in the network that holds it; see `Network.blocks`."""
    return tuple(tuple(f"{name}.{part}" for part in block) for block in blocks)
