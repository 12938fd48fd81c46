# How a detector is run: epochs that resume exactly, checkpoints that survive a full disk, COCO's average precision.
default_scope = "mmdet"
channels_last = True  # memory format: convolutions are faster, results differ by rounding alone

randomness = dict(seed=2021, diff_rank_seed=True)

train_cfg = dict(type="nda_mm.ExactEpochLoop")
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# Without ann_file the boxes to find are those that the data set gives, after its checks; test pipelines keep them for
# this as `instances`.
val_evaluator = dict(type="CocoMetric", metric="bbox")
test_evaluator = val_evaluator

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=1, max_keep_ckpts=2),
    visualization=dict(type="DetVisualizationHook"),  # draws with tools/test.py --show-dir
)
optim_wrapper = dict(type="OptimWrapper")

# A backbone without a checkpoint is trained from scratch; a checkpoint that does not fill it is refused.
custom_hooks = [dict(type="nda_mm.FiniteLossHook"), dict(type="nda_mm.PretrainedCheckHook")]

visualizer = dict(
    type="nda_mm.EnlargedDetVisualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
)
log_processor = dict(type="LogProcessor", window_size=50)
