# DPC's backbone used like any other 3-D network of mmaction2, with the optimizer settings of DPC's classifier.
_base_ = ["video_runtime.py"]

model = dict(
    type="Recognizer3D",
    backbone=dict(type="nda_mm.ResNet2d3d", depth=18, final_relu=True),
    cls_head=dict(type="I3DHead", in_channels=256, spatial_type="avg", dropout_ratio=0.5, average_clips="prob"),
    data_preprocessor=dict(
        type="ActionDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape="NCTHW",
    ),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=1e-3, weight_decay=1e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
