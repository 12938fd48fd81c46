# Classify the motion of digits with a linear classifier on DPC's frozen features; a minute on two CPU cores:
#   python tools/train.py dpc_linear_digits --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ["../_base_/dpc_linear_probe.py", "../_base_/datasets/moving_digits_clips.py"]

model = dict(
    backbone=dict(
        backbone=dict(base_channels=8, conv1_kernel=(1, 3, 3), spatial_strides=(1, 2, 1, 1)),
        aggregator=dict(in_channels=32, dropout=0.0),
    ),
    cls_head=dict(num_classes=8, in_channels=32),
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)

optim_wrapper = dict(optimizer=dict(lr=1e-2))
