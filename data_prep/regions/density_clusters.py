"""HDBSCAN's flat clusters from a minimum spanning tree, by excess of mass.

Campello et al., "Density-Based Clustering Based on Hierarchical Density Estimates", PAKDD 2013. The tree's edges are
added from the lightest to the heaviest; a component with min_size points is a cluster, and remains the same cluster
while smaller components join it. When two clusters merge, both end and a new one begins. In terms of the density
lambda = 1 / weight, with lambda_p where point p joined and lambda_end where the cluster ended,

    stability = sum over its points of (lambda_p - lambda_end)

A cluster is selected instead of its children if its stability is at least the sum of theirs. The root, which contains
all points, is never selected.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_prep.regions.union_find import join, root_of

LEAST_WEIGHT = 1e-12  # instead of 0, between coincident points: the density must be finite


@njit(cache=True, nogil=True)
def stable_clusters(first: NDArray, second: NDArray, weight: NDArray, min_size: int) -> NDArray:
    """Flat clusters of the points of a spanning tree.

    Args:
        first, second: [N - 1] int64, the points of each edge, lightest edge first.
        weight: [N - 1] float64.
        min_size: points of the smallest cluster, 2 or more.

    Returns:
        [N] int64: the cluster of each point, any number from 0; -1 for none.
    """
    n = len(first) + 1
    parent, size = np.arange(n), np.ones(n, np.int64)
    following, last = np.full(n, -1, np.int64), np.arange(n)  # the points of each component as a list from its root
    cluster = np.full(n, -1, np.int64)  # of a component, at its root
    home = np.full(n, -1, np.int64)  # the cluster that each point joined first
    above = np.full(n, -1, np.int64)  # of a cluster: its parent
    mass, value = np.zeros(n), np.zeros(n)  # of a cluster: sum of lambda_p; largest stability of a selection within it
    taken = np.zeros(n, np.bool_)
    clusters = 0
    for edge in range(n - 1):
        a, b = root_of(parent, first[edge]), root_of(parent, second[edge])
        density = 1 / max(weight[edge], LEAST_WEIGHT)
        low, high = min(a, b), max(a, b)
        if cluster[a] >= 0 and cluster[b] >= 0:
            inner = 0.0
            for ended in (a, b):
                c = cluster[ended]
                stability = mass[c] - size[ended] * density
                taken[c] = stability >= value[c]
                value[c] = max(stability, value[c])
                inner += value[c]
                above[c] = clusters
            joined = clusters
            mass[joined], value[joined] = (size[a] + size[b]) * density, inner
            clusters += 1
        elif cluster[a] >= 0 or cluster[b] >= 0:
            small = b if cluster[a] >= 0 else a
            joined = max(cluster[a], cluster[b])
            mass[joined] += size[small] * density
            _settle(small, joined, following, home)
        elif size[a] + size[b] >= min_size:
            joined = clusters
            mass[joined] = (size[a] + size[b]) * density
            clusters += 1
            _settle(a, joined, following, home)
            _settle(b, joined, following, home)
        else:
            joined = -1
        following[last[low]], last[low] = high, last[high]
        join(parent, size, a, b)
        cluster[low] = joined
    holder = np.full(clusters, -1, np.int64)  # of a cluster: the outermost selected cluster around it, or itself
    for c in range(clusters - 1, -1, -1):  # parents have higher numbers, so they are visited before their children
        outside = holder[above[c]] if above[c] >= 0 else -1
        holder[c] = outside if outside >= 0 or not taken[c] else c
    label = np.full(n, -1, np.int64)
    for i in range(n):
        if home[i] >= 0:
            label[i] = holder[home[i]]
    return label


@njit(cache=True, nogil=True)
def _settle(root: int, cluster: int, following: NDArray, home: NDArray) -> None:
    """Record `cluster` as the first one that all points of a component joined."""
    while root >= 0:
        home[root] = cluster
        root = following[root]
