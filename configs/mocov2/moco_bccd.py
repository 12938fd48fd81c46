# MoCo v2 on patches of BCCD's own training photographs, without labels: pretrains the backbone of detection_bccd.py,
# with the keys and width of mmdet's ResNet. Half a minute per epoch on one CPU core.
# At full width: model.backbone.base_channels=64 model.backbone.stem_channels=64 model.neck.in_channels=512
_base_ = "../_base_/moco_runtime.py"

# Two views of a patch of BCCD's training photographs, without their boxes. Patches have 96 pixels, of images 224 high,
# so cells have the same size as in detection_bccd.py. Each photograph gives ten patches per epoch.
# `python tools/prepare_data.py bccd BCCD_Dataset.zip` puts the images where this recipe expects them.
dataset_type = "nda_mm.VOCImages"
data_root = "data/bccd"
image_size = 96

data_preprocessor = dict(
    type="SelfSupDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=False,  # the data set returns RGB
)

view_pipeline = [
    dict(type="RandomResizedCrop", scale=image_size, crop_ratio_range=(0.3, 1.0), backend="cv2"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="RandomFlip", prob=0.5, direction="vertical"),
    dict(
        type="RandomApply",
        # mmcv assumes BGR, so the gray image behind the saturation change has the weights of red and blue swapped.
        transforms=[
            dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2"),
        ],
        prob=0.8,
    ),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="RepeatDataset",
        times=10,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split="train",
            size=(224, 299),
            image_key="img",
            pipeline=[
                dict(type="RandomCrop", crop_size=128),
                dict(type="MultiView", num_views=2, transforms=[view_pipeline]),
                dict(type="PackInputs"),
            ],
        ),
    ),
)

width = 32  # width of the backbone, as in detection_bccd.py
model = dict(
    type="MoCo",
    data_preprocessor=data_preprocessor,
    feat_dim=128,
    queue_len=1024,  # a multiple of the total batch size over all ranks
    momentum=0.01,  # step towards the query encoder; MoCo's convention is 0.99
    backbone=dict(
        type="ResNet", depth=18, stem_channels=width, base_channels=width, expansion=1, zero_init_residual=False
    ),
    neck=dict(type="MoCoV2Neck", in_channels=8 * width, hid_channels=256, out_channels=128, with_avg_pool=True),
    head=dict(type="ContrastiveHead", temperature=0.2, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.03, momentum=0.9, weight_decay=1e-4))
train_cfg = dict(max_epochs=20)
default_hooks = dict(logger=dict(interval=8))
