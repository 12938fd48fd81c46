# Clips of UCF101 with action labels: 40 frames, as many as DPC's eight blocks of five, every third frame. The scores of
# a test video are averaged over ten clips.
train_pipeline = [
    dict(type="nda_mm.CheckedDecordInit"),
    dict(type="SampleFrames", clip_len=40, frame_interval=3, num_clips=1),
    dict(type="nda_mm.CheckedDecordDecode"),
    dict(type="Resize", scale=(-1, 256)),
    dict(type="RandomResizedCrop", area_range=(0.5, 1.0)),
    dict(type="Resize", scale=(128, 128), keep_ratio=False),
    dict(type="Flip", flip_ratio=0.5),
    dict(type="nda_mm.FrameColorJitter", prob=0.3, per_frame=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="nda_mm.CheckedDecordInit"),
    dict(type="SampleFrames", clip_len=40, frame_interval=3, num_clips=1, test_mode=True),
    dict(type="nda_mm.CheckedDecordDecode"),
    dict(type="Resize", scale=(-1, 256)),
    dict(type="CenterCrop", crop_size=224),
    dict(type="Resize", scale=(128, 128), keep_ratio=False),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
test_pipeline = [
    *val_pipeline[:1],
    dict(type="SampleFrames", clip_len=40, frame_interval=3, num_clips=10, test_mode=True),
    *val_pipeline[2:],
]

videos = dict(type="VideoDataset", data_prefix=dict(video="data/ucf101/videos"))
train_dataloader = dict(
    batch_size=128,  # total batch size: on N GPUs, set 128/N
    num_workers=8,
    persistent_workers=True,
    drop_last=True,  # the head uses batch normalization
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**videos, ann_file="data/ucf101/ucf101_train_split_1_videos.txt", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**videos, ann_file="data/ucf101/ucf101_val_split_1_videos.txt", pipeline=val_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **videos, ann_file="data/ucf101/ucf101_val_split_1_videos.txt", pipeline=test_pipeline, test_mode=True
    ),
)
val_evaluator = dict(type="AccMetric")
test_evaluator = val_evaluator

# The learning rate is 1e-5 from epoch 80.
param_scheduler = dict(type="MultiStepLR", by_epoch=True, milestones=[60, 80], gamma=0.1)
train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=300, val_interval=5)
