# How a detector is run: epochs that resume exactly, checkpoints that survive a full disk, COCO's average precision.
default_scope = "mmdet"
channels_last = True  # memory format: convolutions are faster, results differ by rounding alone

randomness = dict(seed=2021, diff_rank_seed=True)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)

train_cfg = dict(type="nda_mm.ExactEpochLoop")
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# Without ann_file the boxes to find are those that the data set gives, after its checks; test pipelines keep them for
# this as `instances`.
val_evaluator = dict(type="CocoMetric", metric="bbox")
test_evaluator = val_evaluator

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="DetVisualizationHook"),  # draws with tools/test.py --show-dir
)
optim_wrapper = dict(type="OptimWrapper")

# A backbone without a checkpoint is trained from scratch; a checkpoint that does not fill it is refused.
custom_hooks = [dict(type="nda_mm.FiniteLossHook"), dict(type="nda_mm.PretrainedCheckHook")]

visualizer = dict(
    type="nda_mm.EnlargedDetVisualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
