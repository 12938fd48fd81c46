# Moving digits for mmaction2's pipelines and 2-D networks: eight frames per clip, one from each eighth.
# No download: the first epoch renders the clips (about 5 ms each) and keeps them in memory.
frames = dict(type="SampleFrames", clip_len=1, frame_interval=1, num_clips=8)
train_pipeline = [
    frames,
    dict(type="ArrayDecode"),
    dict(type="FormatShape", input_format="NCHW"),
    dict(type="PackActionInputs"),
]
val_pipeline = [dict(frames, test_mode=True), *train_pipeline[1:]]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="nda_mm.MovingDigits", split="train", num_clips=800, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="nda_mm.MovingDigits", split="test", num_clips=200, pipeline=val_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="AccMetric", metric_list=("top_k_accuracy",))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4), clip_grad=dict(max_norm=20, norm_type=2)
)
param_scheduler = dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)  # down to the last step
train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=6, val_interval=2)
