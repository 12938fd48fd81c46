# Find and classify digits in 120 small cluttered scenes, with the narrow ResNet-18 that moco_digits.py pretrains. About
# two minutes on one CPU core. Trains from scratch; with pretrained weights written by tools/convert_backbone.py:
#   python tools/train.py detection_digits_scenes --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=backbone.pth
_base_ = ["../_base_/detection_runtime.py", "../_base_/models/retinanet_small.py"]
max_epochs = 20
width = 16  # width of the backbone, as in moco_digits.py
size = 96  # size of the scenes in pixels

model = dict(
    data_preprocessor=dict(  # mean and standard deviation from moco_digits.py; both use RGB
        type="DetDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, bgr_to_rgb=True, pad_size_divisor=32
    ),
    backbone=dict(
        type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=width, base_channels=width, out_indices=(2, 3)
    ),
    neck=dict(in_channels=[4 * width, 8 * width], out_channels=48, num_outs=3),
    bbox_head=dict(
        num_classes=10,
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(  # digits are taller than wide, 18 to 40 pixels high
            type="AnchorGenerator", octave_base_scale=4, scales_per_octave=2, ratios=[1.4], strides=[4, 8, 16]
        ),
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(size, size), keep_ratio=True),
    dict(type="PackDetInputs"),
]
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances")
test_pipeline = [  # boxes are loaded after resizing, so they keep the coordinates of the file
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(size, size), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=meta_keys),
]
dataset = dict(type="nda_mm.DigitsScenes", data_root="data/digits_scenes")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(split="train", pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="test", test_mode=True, pipeline=test_pipeline, **dataset),
)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05), clip_grad=dict(max_norm=10.0))
param_scheduler = dict(
    type="OneCycleLR", eta_max=2e-3, total_steps=max_epochs, pct_start=0.2, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=5), logger=dict(interval=15))
