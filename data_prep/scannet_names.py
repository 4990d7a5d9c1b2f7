"""ScanNet v2's class names: the 40 of NYU and the 20 that its benchmark counts."""

from __future__ import annotations

NYU40 = (  # the position is the id
    "unannotated",
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure"),
    *("otherfurniture", "otherprop"),
)
BENCHMARK_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)  # of NYU40; class k is the k-th
LABEL_CLASSES = ["ignore", *(NYU40[index] for index in BENCHMARK_IDS)]
BOX_CLASSES = [
    name for name in LABEL_CLASSES if name not in ("ignore", "wall", "floor")
]  # the 18 of the detection task
