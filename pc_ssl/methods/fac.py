"""FAC: foreground-aware feature contrast.

Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023. No public code holds its
losses, and its formulas are not public. Published, in the abstract: positive pairs are points of one foreground
segment; no over-discrimination between segments; foreground contrasted with background, adaptively, by a Siamese
correspondence network that learns correlations within and across the two views. Reconstructed: both formulas, what
foreground and large planes are (`views/foreground.py`), the projection, how correlations are learned, which frames of
ScanNet make a pair (`views/frame_pairs.py`), and the defaults marked so below.

1. Views: two augmented views of one cloud, or what two overlapping RGB-D frames see of a room; points of foreground
   segments and of the background, in both views.
2. Forward: a backbone's feature of each point goes through one projection that both views share and L2 normalisation:
   z in the first view and in the second. With `correlation="learned"` linear maps that both views share give each z a
   query q = W_q z / sqrt(E) and a key k = W_k z (`models/correlation.py`).
3. Loss: L = alpha * L_geo + beta * L_fore; `losses/segment_contrast.py`, `losses/correspondence.py`. In L_fore an
   anchor i attracts foreground points p with weights w_ip and repels the background:
   -log [ sum_p w_ip e_ip / (sum_p w_ip e_ip + sum_{k in background} e_ik) ], e_ij = exp(z_i . z_j / t).
   "similarity": w_ip = max(z_i . z_p, 0) for the `correlated` most similar points, a constant.
   "learned": w_ip = softmax_p(q_i . k_p) over all foreground points, with gradient.
   Points of the other view and other points of the anchor's view have separate terms.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from torch import Tensor, nn

from pc_ssl.losses.correspondence import Correspondence, foreground_contrast, learned_foreground_contrast
from pc_ssl.losses.monitors import collapse_monitors
from pc_ssl.losses.segment_contrast import SegmentNegatives, SegmentPositives, segment_contrast
from pc_ssl.models.correlation import SiameseCorrelation
from pc_ssl.models.projector import Projector
from pc_ssl.protocols import Backbone
from pc_ssl.structures import ForegroundBatch, PointBatch
from pc_ssl.views.foreground import ForegroundViews


class CorrelationKind(StrEnum):
    """What foreground points are correlated by.

    SIMILARITY: the similarity of their embeddings.
    LEARNED: queries and keys, which are trained with the network.
    """

    SIMILARITY = "similarity"
    LEARNED = "learned"


class FAC(nn.Module):
    """Pretrains `backbone` on segments and foreground points.

    Args:
        backbone: LiDAR backbone with `out_channels`, from points to BevFeatures or PointFeatures.
        views: gives the two views and the sampled points; reads the ground, with `frames` also which points images see.
        hidden_channels: channels of the projection's hidden layer.
        embedding_channels: D, channels of the embeddings.
        temperature: of both losses; 0.1 in the code that the authors build on.
        alpha: weight of the segment term; 1, reconstructed.
        beta: weight of the correspondence term; 1, reconstructed. 0 leaves the segment term alone.
        negatives: of the segment term, "unlike_segments" or "other_segments"; reconstructed.
        positives: of the segment term, "other_view" or "both_views"; reconstructed.
        correspondence: positives of the correspondence term, "across_and_within", "across" or "same_point";
            reconstructed.
        correlated: positives of an anchor in each view; of "similarity" alone; reconstructed.
        weighted: whether positives are weighted by their correlation; of "similarity" alone; reconstructed.
        correlation: what selects and weights the positives, "similarity" or "learned"; both reconstructed.
        correlation_channels: E, channels of queries and keys; of "learned" alone; reconstructed.

    Raises:
        ValueError: temperature is not positive, a weight is negative, an option is not one of the names above, or
            "learned" is combined with "same_point".
    """

    needs_weights: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("backbone",)

    def __init__(
        self,
        backbone: Backbone,
        views: ForegroundViews,
        hidden_channels: int = 256,
        embedding_channels: int = 128,
        temperature: float = 0.1,
        alpha: float = 1.0,
        beta: float = 1.0,
        negatives: str = SegmentNegatives.UNLIKE_SEGMENTS,
        positives: str = SegmentPositives.OTHER_VIEW,
        correspondence: str = Correspondence.ACROSS_AND_WITHIN,
        correlated: int = 4,
        weighted: bool = True,
        correlation: str = CorrelationKind.SIMILARITY,
        correlation_channels: int = 64,
    ) -> None:
        super().__init__()
        if temperature <= 0 or min(alpha, beta) < 0 or alpha + beta == 0 or correlated < 1:
            raise ValueError(
                "need temperature > 0, alpha and beta >= 0 and not both 0, correlated >= 1, got "
                f"{temperature}, {alpha}, {beta} and {correlated}"
            )
        self.backbone = backbone
        self.projector = Projector(backbone.out_channels, hidden_channels, embedding_channels)
        self.views = views
        self.temperature, self.alpha, self.beta = temperature, alpha, beta
        self.negatives, self.positives = SegmentNegatives(negatives), SegmentPositives(positives)
        self.correspondence = Correspondence(correspondence)
        self.correlated, self.weighted = correlated, weighted
        self.correlation: SiameseCorrelation | None = None
        if CorrelationKind(correlation) is CorrelationKind.LEARNED:
            if self.correspondence is Correspondence.SAME_POINT:
                raise ValueError("correspondence 'same_point' has no weights that correlation 'learned' could learn")
            self.correlation = SiameseCorrelation(embedding_channels, correlation_channels)

    collate = staticmethod(ForegroundBatch.pack)

    def forward(self, batch: ForegroundBatch) -> dict[str, Tensor]:
        """ "loss", its terms "segment" and "correspondence", the share of foreground points, `collapse_monitors`.

        Points are contrasted with the points of all frames of the batch on the same process. With fewer than two points
        the loss and its gradient are zero.
        """
        pairs = batch.pairs
        first = self.embed(pairs.first, pairs.first_row)
        second = self.embed(pairs.second, pairs.second_row)
        region, foreground = pairs.region[: len(first)], batch.foreground[: len(first)]
        segment = segment_contrast(first, second, region, self.temperature, self.negatives, self.positives)
        correspondence = self.foreground_term(first, second, foreground)
        return {
            "loss": self.alpha * segment + self.beta * correspondence,
            "segment": segment.detach(),
            "correspondence": correspondence.detach(),
            "foreground_share": foreground.float().sum() / max(len(foreground), 1),
            **collapse_monitors(first, second),
        }

    def foreground_term(self, first: Tensor, second: Tensor, foreground: Tensor) -> Tensor:
        """L_fore, a scalar, of embeddings [S, D] of the same points in both views and foreground [S] bool."""
        if self.correlation is None:
            return foreground_contrast(
                first, second, foreground, self.temperature,
                correspondence=self.correspondence, correlated=self.correlated, weighted=self.weighted,
            )  # fmt: skip
        correlation = self.correlation(first), self.correlation(second)
        return learned_foreground_contrast(
            first, second, correlation, foreground, self.temperature, correspondence=self.correspondence
        )

    def embed(self, points: PointBatch, rows: Tensor) -> Tensor:
        """Embeddings [S, D] of unit length, float32 under autocast too, of the points in `rows` [S]."""
        return self.projector.embeddings(self.backbone(points).at_points(points, rows))
