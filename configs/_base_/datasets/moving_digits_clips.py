# Moving digits for 3-D networks that take 40 frames, with few labels: 64 clips, 8 per motion, at the speed used in
# pretraining. The scores of a test clip are averaged over three windows of its 64 frames.
train_pipeline = [
    dict(type="SampleFrames", clip_len=40, frame_interval=1, num_clips=1),
    dict(type="ArrayDecode"),
    dict(type="FormatShape", input_format="NCTHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [
    dict(type="SampleFrames", clip_len=40, frame_interval=1, num_clips=3, test_mode=True),
    *train_pipeline[1:],
]

clips = dict(type="nda_mm.MovingDigits", num_frames=64, pace=(1 / 64, 1 / 32))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=True,  # the head uses batch normalization
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**clips, split="train", num_clips=64, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**clips, split="test", num_clips=400, pipeline=val_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="AccMetric")
test_evaluator = val_evaluator

param_scheduler = dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)  # down to the last step
train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=50, val_interval=25)
