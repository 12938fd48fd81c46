# The 2-D backbone of moco_digits.py inflated in time: every 3x3 kernel becomes 3x3x3, repeated and divided by three.
# Pretrained: tools/convert_backbone.py work_dirs/moco_digits/epoch_30.pth D.pth --to mmpretrain, then --cfg-options
# model.backbone.pretrained=D.pth; without it, from scratch.
_base_ = ["../_base_/video_runtime.py", "../_base_/datasets/moving_digits.py"]

model = dict(
    type="Recognizer3D",
    backbone=dict(
        type="ResNet3d",
        depth=18,
        pretrained=None,
        pretrained2d=True,
        base_channels=16,
        conv1_kernel=(3, 3, 3),
        conv1_stride_s=1,
        with_pool1=False,
        with_pool2=False,
        temporal_strides=(1, 1, 2, 2),
        inflate_style="3x3x3",
        zero_init_residual=False,
    ),
    cls_head=dict(
        type="I3DHead",
        num_classes=8,
        in_channels=128,
        spatial_type="avg",
        dropout_ratio=0.2,
        init_std=0.01,
        average_clips="prob",
    ),
    data_preprocessor=dict(type="ActionDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, format_shape="NCTHW"),
)

# Eight frames, five apart: the same as in the 2-D recipes.
frames = dict(type="SampleFrames", clip_len=8, frame_interval=5, num_clips=1)
train_pipeline = [
    frames,
    dict(type="ArrayDecode"),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [dict(frames, test_mode=True), *train_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
