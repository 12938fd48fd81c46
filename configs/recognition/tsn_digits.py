# TSN on moving digits: averaged scores of single frames. The classes differ only in the order of frames, which an
# average ignores: this recipe stays near chance (12.5 %) by design. Compare it with tsm_digits.py.
# Pretrained: tools/convert_backbone.py work_dirs/moco_digits/epoch_30.pth D.pth --to mmpretrain, then --cfg-options
# model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=D.pth; without it, from scratch.
_base_ = ["../_base_/video_runtime.py", "../_base_/datasets/moving_digits.py"]

model = dict(
    type="Recognizer2D",
    backbone=dict(
        type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16, zero_init_residual=False
    ),
    cls_head=dict(
        type="TSNHead",
        num_classes=8,
        in_channels=128,
        spatial_type="avg",
        consensus=dict(type="AvgConsensus", dim=1),
        dropout_ratio=0.2,
        init_std=0.01,
        average_clips="prob",
    ),
    data_preprocessor=dict(type="ActionDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, format_shape="NCHW"),
)
