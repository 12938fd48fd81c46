# DPC on moving digits, rendered in memory: no download, a few minutes on two CPU cores. The plain twin of the NDA
# recipes. Eight blocks of five frames, and a narrow network with 4x4 feature maps for frames of 32x32 pixels.
_base_ = ["../_base_/dpc_pretraining.py"]

model = dict(
    backbone=dict(base_channels=8, conv1_kernel=(1, 3, 3), spatial_strides=(1, 2, 1, 1)),
    aggregator=dict(in_channels=32, dropout=0.0),  # with 0.1, the loss fell half as fast
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="nda_mm.MovingDigits",
        split="train",
        num_clips=800,
        num_frames=48,
        pace=(1 / 64, 1 / 32),  # at twice this speed, the accuracy of predicting a clip's next blocks was at chance
        pipeline=[
            dict(type="nda_mm.SampleBlocks", num_blocks=8, block_len=5, frame_interval=1),
            dict(type="ArrayDecode"),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, by_epoch=False, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),  # down to the last step
]
train_cfg = dict(max_epochs=16)
env_cfg = dict(cudnn_benchmark=False)
