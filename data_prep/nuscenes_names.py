"""nuScenes' categories as classes of `pc_ssl.taxonomies.NUSCENES`, and SLidR's split of its scenes."""

from __future__ import annotations

from pc_ssl.taxonomies import NUSCENES

LABEL_CLASSES, BOX_CLASSES = list(NUSCENES.label_classes), list(NUSCENES.box_classes)
ATTRIBUTES = list(NUSCENES.attributes)
CLASS_OF_CATEGORY = NUSCENES.class_of_category


# SLidR (CVPR 2022, valeoai/SLidR, downstream/dataloader_nuscenes.py) uses 100 of the 700 train scenes for choosing
# hyper-parameters ("verifying") and pretrains on the other 600 ("parametrizing"); later works use the same split.
VERIFYING_SCENES = [
    f"scene-{number:04d}"
    for number in (
        *(8, 9, 19, 29, 32, 42, 45, 49, 52, 54, 56, 66, 67, 73, 131, 152, 166, 168, 183, 190),
        *(194, 208, 210, 211, 241, 243, 248, 259, 260, 261, 287, 292, 297, 305, 306, 350, 352, 358, 361, 365),
        *(368, 377, 388, 391, 395, 413, 427, 428, 438, 444, 452, 453, 459, 463, 464, 475, 513, 533, 544, 575),
        *(587, 589, 642, 652, 658, 669, 678, 687, 701, 703, 706, 710, 715, 726, 735, 740, 758, 786, 790, 804),
        *(
            806,
            847,
            856,
            868,
            882,
            897,
            899,
            976,
            996,
            1012,
            1015,
            1016,
            1018,
            1020,
            1024,
            1044,
            1058,
            1094,
            1098,
            1107,
        ),
    )
]
