# Find red cells, white cells and platelets in photographs of blood: real images with real annotations, small enough for
# two CPU cores. `python tools/prepare_data.py bccd BCCD_Dataset.zip` puts them where this recipe expects them. Trains
# from scratch; with the backbone of moco_bccd.py, converted by tools/convert_backbone.py:
#   python tools/train.py detection_bccd --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=backbone.pth
# At full width: model.backbone.base_channels=64 model.backbone.stem_channels=64 model.neck.in_channels="[128,256,512]"
_base_ = ["../_base_/detection_runtime.py", "../_base_/models/retinanet_small.py"]
max_epochs = 24
width = 32  # width of the backbone, as in moco_bccd.py
short_side = 224  # short side of the images in pixels

model = dict(
    data_preprocessor=dict(  # mean and standard deviation from moco_bccd.py; both use RGB
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ResNet",
        depth=18,
        stem_channels=width,
        base_channels=width,
        out_indices=(1, 2, 3),
        norm_eval=False,
        style="pytorch",
    ),
    neck=dict(in_channels=[2 * width, 4 * width, 8 * width], out_channels=96, num_outs=4),
    bbox_head=dict(
        num_classes=3,
        in_channels=96,
        feat_channels=96,
        anchor_generator=dict(  # from platelets of 16 pixels to white cells of 130
            type="AnchorGenerator", octave_base_scale=2, scales_per_octave=3, ratios=[1.0], strides=[8, 16, 32, 64]
        ),
    ),
)

scale = (10 * short_side, short_side)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="RandomFlip", prob=0.75, direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackDetInputs"),
]
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances")
test_pipeline = [  # boxes are loaded after resizing, so they keep the coordinates of the file
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=meta_keys),
]
dataset = dict(
    type="nda_mm.CheckedVOCDataset",
    data_root="data/bccd",
    data_prefix=dict(sub_data_root=""),
    metainfo=dict(classes=("RBC", "WBC", "Platelets"), palette=[(220, 20, 60), (65, 105, 225), (255, 200, 0)]),
    decode=True,
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(ann_file="ImageSets/Main/train.txt", pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="ImageSets/Main/val.txt", test_mode=True, pipeline=test_pipeline, **dataset),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(ann_file="ImageSets/Main/test.txt", test_mode=True, pipeline=test_pipeline, **dataset),
)
val_evaluator = dict(classwise=True)
test_evaluator = dict(classwise=True)

optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05), clip_grad=dict(max_norm=10.0))
param_scheduler = dict(
    type="OneCycleLR", eta_max=1e-3, total_steps=max_epochs, pct_start=0.2, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(max_epochs=max_epochs, val_interval=8)
default_hooks = dict(checkpoint=dict(interval=4), logger=dict(interval=25))
