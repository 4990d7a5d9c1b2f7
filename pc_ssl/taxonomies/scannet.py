"""ScanNet v2: the 40 classes of NYU, the 20 of points that its benchmark counts, and the 18 of boxes."""

from __future__ import annotations

from pc_ssl.taxonomies.taxonomy import IGNORE, Taxonomy

NYU40 = (  # the position is the id
    "unannotated",
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure"),
    *("otherfurniture", "otherprop"),
)
BENCHMARK_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)  # of NYU40; class k is the k-th
_POINTS = tuple(NYU40[index] for index in BENCHMARK_IDS)
_BOXES = tuple(name for name in _POINTS if name not in ("wall", "floor"))

SCANNET = Taxonomy(label_classes=(IGNORE, *_POINTS), box_classes=_BOXES, detected_classes=_BOXES)
