"""Union-find for numba kernels: parent [N]; a root is its own parent."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def root_of(parent, item):
    """The root of the set of `item`, with path halving."""
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@njit(cache=True, nogil=True)
def join(parent, size, a, b):
    """Join the sets of two different roots; the lower one remains a root. size [N]: items of the set, at its root."""
    low, high = min(a, b), max(a, b)
    parent[high] = low
    size[low] += size[high]


@njit(cache=True, nogil=True)
def number_sets(parent, size, least):
    """[N] int32: the set of each item, numbered from 0 by their first items; -1 in sets of fewer than `least` items.

    Lower roots remain roots (`join`), so the root of a set is its first item.
    """
    label = np.full(len(parent), -1, np.int32)
    sets = 0
    for item in range(len(parent)):
        root = root_of(parent, item)
        if size[root] >= least:
            if root == item:
                label[item] = sets
                sets += 1
            else:
                label[item] = label[root]
    return label
