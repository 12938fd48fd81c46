# An action classifier on DPC's encoder, fine-tuned as by the authors: backbone and ConvGRU are kept and trained at a
# tenth of the rate of the new layers (batch normalization, dropout, linear). The checkpoint is the pretraining's own.
# If it lacks a weight of the encoder, the run stops.
_base_ = ["video_runtime.py"]

model = dict(
    type="Recognizer3D",
    backbone=dict(
        type="nda_mm.DPCEncoder",
        backbone=dict(type="nda_mm.ResNet2d3d", depth=18),
        aggregator=dict(type="nda_mm.ConvGRU", in_channels=256),
        num_blocks=8,
    ),
    cls_head=dict(type="nda_mm.DPCHead", in_channels=256, dropout_ratio=0.5, average_clips="prob"),
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
