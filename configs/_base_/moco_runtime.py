# Runtime of MoCo: a loop that resumes exactly, checkpoints that survive a full disk, a cosine schedule.
default_scope = "mmpretrain"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)  # with mmengine's default, every rank would draw the same views

env_cfg = dict(cudnn_benchmark=True)

train_cfg = dict(type="nda_mm.ExactEpochLoop")
param_scheduler = dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)  # to the last step

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=10, max_keep_ckpts=2),
)
custom_hooks = [dict(type="nda_mm.FiniteLossHook")]

visualizer = dict(
    type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
