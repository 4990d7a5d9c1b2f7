"""What a simulated street holds: the size of the built area, and how many objects of rare classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = 95.0  # metres; default reach of the built area around the ego vehicle's trip
WIDEST = 90.0  # metres; largest reach to both sides


@dataclass(frozen=True)
class StreetContent:
    """Options of a street.

    Args:
        reach: metres of built area around the ego vehicle's trip; the ground is bare behind it.
        rare_objects: factor on the numbers of trailers, buses, construction vehicles, motorcycles, bicycles, barriers
            and traffic cones; 1 places them as often as they are met in cities.
    """

    reach: float = FARTHEST
    rare_objects: float = 1.0

    @property
    def margin(self) -> float:
        """Metres of street beyond both ends of the trip."""
        return self.reach

    @property
    def side(self) -> float:
        """Metres of built area to both sides of the main road's bounding box."""
        return min(self.reach, WIDEST)

    def often(self, probability: float, limit: float = 0.95) -> float:
        """Probability of a rare object or of a place with such objects; at most `limit` after the factor."""
        more = max(probability, min(probability * self.rare_objects, limit))
        return probability if self.rare_objects == 1.0 else more

    def shares(self, probability: Sequence[float], rare: Sequence[bool]) -> NDArray[np.float64]:
        """Probabilities [K] of kinds of which the rare ones are drawn `rare_objects` times as often as the others."""
        weight = np.where(rare, self.rare_objects, 1.0) * np.asarray(probability, np.float64)
        return weight / weight.sum()


USUAL = StreetContent()
