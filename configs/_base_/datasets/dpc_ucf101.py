# Unlabeled clips of UCF101 for DPC: 8 blocks of 5 frames, every third frame. Crops and flips are drawn per clip, gray
# and color changes per frame, so that DPC cannot rely on color. Clips of fewer than 118 frames are looped.
train_pipeline = [
    dict(type="nda_mm.CheckedDecordInit"),
    dict(type="nda_mm.SampleBlocks", num_blocks=8, block_len=5, frame_interval=3, too_short="loop"),
    dict(type="nda_mm.CheckedDecordDecode"),
    dict(type="Resize", scale=(-1, 256)),
    dict(type="RandomCrop", size=224),
    dict(type="Resize", scale=(128, 128), keep_ratio=False),
    dict(type="Flip", flip_ratio=0.5),
    dict(type="nda_mm.RandomFrameGrey", prob=0.5),
    dict(type="nda_mm.FrameColorJitter", brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="VideoDataset",
        ann_file="data/ucf101/ucf101_train_split_1_videos.txt",
        data_prefix=dict(video="data/ucf101/videos"),
        pipeline=train_pipeline,
    ),
)
