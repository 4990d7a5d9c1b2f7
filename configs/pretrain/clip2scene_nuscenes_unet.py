r"""CLIP2Scene on the point features of MinkUNet34 (published: SPVCNN), three sweeps, each a cloud of its own.

pc-ssl prepare nuscenes --root nuscenes --version v1.0-trainval --sweeps 11 --out cache --workers 16
pc-ssl pretrain configs/pretrain/clip2scene_nuscenes_unet.py --cache cache --split parametrizing \
    --work-dir work_dirs/clip2scene --set method.clip.folder=clip-vit-base-patch16

The folder is openai/clip-vit-base-patch16 as transformers saves it. Of the ten sweeps before the keyframe two are drawn
for each sample, as in the authors' code.
"""

from pc_ssl.data.drawn_sweeps import DrawnSweeps
from pc_ssl.engine.options import TrainOptions
from pc_ssl.methods.clip2scene import CLIP2Scene
from pc_ssl.models.clip import MaskClip
from pc_ssl.models.lidar import SparseUNet
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.lidar import Augmentation
from pc_ssl.views.sensors import SensorViews

method = dict(
    type=CLIP2Scene,
    backbone=dict(type=SparseUNet, voxel_size=(0.1, 0.1, 0.1)),  # prototype: 0.1 m
    clip=dict(type=MaskClip, folder="clip-vit-base-patch16"),  # published: CLIP2Scene, implementation details
    views=dict(
        type=SensorViews,
        augmentation=dict(
            type=Augmentation,
            rotation=3.141592653589793,  # published: CLIP2Scene, implementation details; any angle about the vertical
            scale=(1.0, 1.0),  # published: CLIP2Scene, implementation details; none
            flip=0.5,  # published: CLIP2Scene, implementation details
            shift=0.0,  # published: CLIP2Scene, implementation details; none
        ),
        # prototype: 416 x 224, crops of 0.3 to 1 of the image; ours are of 0.75 to 1, to keep most points in
        images=dict(type=ImageAugmentation, width=416, height=224, resize=(0.26, 0.3), rotation=0.0, flip=0.5),
        pairs=True,
    ),
    cell_size=0.1,  # prototype
    temperature=0.5,  # published: CLIP2Scene, Eq. 1
    attention_temperature=1.0,  # published: CLIP2Scene, Eq. 3
    switch_after=49230,  # published: CLIP2Scene, implementation details; 10 epochs
    switch_probability=0.5,  # prototype
    variant="paper",
)
transforms = [
    dict(type=DrawnSweeps, count=2)
]  # published: CLIP2Scene, Sec. 4.1: 3 sweeps; prototype: two random ones of ten
# ours: 20 epochs of the about 24,600 keyframes of 600 scenes in batches of 5; published: CLIP2Scene, 20 epochs;
# prototype: batches of 4 on two GPUs
train = dict(
    type=TrainOptions,
    steps=98460,
    batch_size=5,
    learning_rate=1e-3,  # ours, of AdamW; published: CLIP2Scene, SGD at 0.1
    schedule="cosine",  # published: CLIP2Scene, implementation details
    precision="bf16",  # ours
    num_workers=8,
)
