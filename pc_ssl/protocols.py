"""What a method, a task, views, a network and a change of the scene must have: the contracts of the package.

The engine reads these members and no others, and never asks whether one is there. Classes satisfy a protocol by having
its members; `tests/test_protocols.py` holds each class of the tables `METHODS`, `TASKS`, `BACKBONES`, `VIEWS` and
`TRANSFORMS` against its protocol with the type checker. A new class is written against the protocol and entered in the
table of its package; configs name classes by their import path, so a class outside the package needs no entry. The
`Reader` of a data set is defined with the frames that it reads, in `data_prep/reader.py`, which this package never
imports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:  # annotations only: whoever imports the contracts loads no library for them
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pc_ssl.data.cache import Cache
    from pc_ssl.geometry import BevGrid
    from pc_ssl.models.features import BevFeatures, PointFeatures
    from pc_ssl.structures import CameraBatch, PointBatch, Scene


class Network(Protocol):
    """An nn.Module that the engine can build, feed and count: the members that all backbones share.

    Attributes:
        out_channels: C of the features.
        point_features: F, features of a point besides x, y, z; None: the network has no point input.
        uses_cameras: whether it has image input.
        grid: the box outside which points are ignored, metres in the frame of the view; None: unlimited range.
        blocks: submodules by name from the input to the output, for layer-wise learning rates; submodules of one depth
            are one block. Each parameter is below exactly one name.
    """

    @property
    def out_channels(self) -> int: ...

    @property
    def point_features(self) -> int | None: ...

    @property
    def uses_cameras(self) -> bool: ...

    @property
    def grid(self) -> BevGrid | None: ...

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]: ...


class Backbone(Network, Protocol):
    """A LiDAR backbone: packed point clouds to a BEV map, or to a feature of each point."""

    @property
    def point_features(self) -> int: ...

    def __call__(self, points: PointBatch, /) -> BevFeatures | PointFeatures: ...


class CameraBackbone(Network, Protocol):
    """A camera branch: the images of a frame to a map of the ground plane, over the box of `grid`."""

    @property
    def grid(self) -> BevGrid: ...

    def __call__(self, cameras: CameraBatch, points: PointBatch | None = None, /) -> BevFeatures:
        """`points` of the same frames are for branches that take depth from them."""
        ...


class PixelNetwork(Protocol):
    """An nn.Module that gives images maps of features, [n, 3, H, W] -> [n, out_channels, h, w], of the same extent."""

    @property
    def out_channels(self) -> int: ...

    def __call__(self, image: Tensor, /) -> Tensor: ...


class Views(Protocol):
    """Turns a scene into a sample for training; runs in loader processes, so it can be pickled.

    Attributes:
        reads: what the scene must hold besides points and regions: the names of `pc_ssl.data.dataset`, such as
            "label", "boxes", "cameras", "visible", "ground", "superpixel/slic" or "neighbour/1".
    """

    @property
    def reads(self) -> frozenset[str]: ...

    def __call__(self, scene: Scene, rng: np.random.Generator, grids: Sequence[BevGrid] = (), /) -> Any:
        """The sample.

        Args:
            scene: a keyframe, after all transforms.
            rng: source of all randomness.
            grids: the grids of the networks; points are sampled inside all of them.
        """
        ...


class TaskViews(Views, Protocol):
    """Views that can also be had without augmentation, for evaluation."""

    def still(self) -> Self:
        """The same views without randomness: the frame of the view is the LiDAR's."""
        ...


class SceneTransform(Protocol):
    """Changes a scene before the views see it. Subclass it, preferably with a frozen dataclass.

    Attributes:
        reads: as those of `Views`.
    """

    reads: ClassVar[frozenset[str]] = frozenset()

    def over(self, cache: Cache, rows: Sequence[int]) -> SceneTransform:
        """The transform for these frames of a cache; one that needs nothing of other frames returns itself.

        Raises:
            UserError: the cache lacks something.
        """
        return self

    def __call__(self, scene: Scene, rng: np.random.Generator, /) -> Scene:
        """The changed scene; the given one stays as it is.

        Raises:
            UserError: the scene lacks something.
        """
        ...


class Batch(Protocol):
    """What `collate` returns. A method whose networks use cameras also gives its batches `cameras`."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The frames, for error messages."""
        ...

    def to(self, device: Any, /) -> Self: ...


class Method(Protocol):
    """A pretraining method: an nn.Module with these members.

    Attributes:
        needs_weights: submodules whose pretrained weights must be given (`--init NAME=FILE`).
        networks: submodules that are a `Network`, "backbone" first: the engine checks their point features against the
            cache, counts their cost, and hands their grids to the views.
        backbone: the network that is pretrained, and kept.
        views: gives the samples.
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    @property
    def backbone(self) -> Network: ...

    @property
    def views(self) -> Views: ...

    @property
    def collate(self) -> Callable[[Sequence[Any]], Batch]:
        """From samples to a batch."""
        ...

    def get_submodule(self, target: str, /) -> nn.Module: ...

    def forward(self, batch: Any, /) -> dict[str, Tensor]:
        """ "loss" and further named terms to be logged, each a scalar."""
        ...


class Task(Protocol):
    """A downstream task: an nn.Module with these members.

    Attributes:
        networks: as those of `Method`.
        backbone: a `Network`.
        head: trained with a separate learning rate.
        views: gives the samples for training and evaluation.
    """

    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    @property
    def backbone(self) -> Network: ...

    @property
    def head(self) -> nn.Module: ...

    @property
    def views(self) -> TaskViews: ...

    @property
    def collate(self) -> Callable[[Sequence[Any]], Batch]:
        """From samples to a batch."""
        ...

    def get_submodule(self, target: str, /) -> nn.Module: ...

    def forward(self, batch: Any, /) -> dict[str, Tensor]:
        """ "loss" and further named terms to be logged, each a scalar."""
        ...

    def predict(self, batch: Any, /) -> Sequence[Any] | Tensor:
        """The prediction for each frame of the batch; call it in eval mode."""
        ...


class RegionGenerator(Protocol):
    """Cuts one cloud into regions; a frozen dataclass, whose fields are stored in the cache's manifest.

    `over_sweeps`: whether it is called on all merged sweeps instead of the key sweep alone.
    """

    over_sweeps: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(
        self, xyz: NDArray[np.float32], ground: NDArray[np.bool_], height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Cut one cloud.

        Args:
            xyz: [N, 3] metres, LiDAR frame, z up, finite.
            ground: [N].
            height: [N] metres above the ground around each point, independent of the height of the sensor.

        Returns:
            [N] int32: region 0..R - 1 of each point, -1 for none.
        """
        ...
