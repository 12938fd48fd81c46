# DPC on moving digits, rendered in memory: no download, a few minutes on two CPU cores. The plain twin of the NDA
# recipes. Eight blocks of five frames, a narrow network that keeps 4x4 places of 32x32 pixels.
_base_ = ["_base_/dpc_pretraining.py"]

model = dict(
    backbone=dict(
        base_channels=16, conv1_kernel=(1, 3, 3), conv1_stride_s=2, with_pool1=True, spatial_strides=(1, 2, 1, 1)
    ),
    aggregator=dict(in_channels=64),
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="nda_mm.MovingDigits",
        split="train",
        num_clips=800,
        num_frames=48,
        pipeline=[
            dict(type="nda_mm.SampleBlocks", num_blocks=8, block_len=5, frame_interval=1),
            dict(type="ArrayDecode"),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ],
    ),
)
param_scheduler = dict(_delete_=True, type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)  # to the end
train_cfg = dict(max_epochs=14)
default_hooks = dict(logger=dict(interval=10))
env_cfg = dict(cudnn_benchmark=False)
