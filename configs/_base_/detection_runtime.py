# Runtime of the detectors: epochs that resume exactly, checkpoints that survive a full disk, COCO's average precision.
default_scope = "mmdet"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)

train_cfg = dict(type="nda_mm.ExactEpochLoop")
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
# Without ann_file, the ground-truth boxes are those of the data set, after its checks. Test pipelines keep them as
# `instances` for this purpose.
val_evaluator = dict(type="CocoMetric", metric="bbox")
test_evaluator = val_evaluator

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=1, max_keep_ckpts=2),
    visualization=dict(type="DetVisualizationHook"),  # draws with tools/test.py --show-dir
)
optim_wrapper = dict(type="OptimWrapper")

# A backbone without a checkpoint is trained from scratch; a checkpoint that lacks weights of the backbone is an error.
custom_hooks = [dict(type="nda_mm.FiniteLossHook"), dict(type="nda_mm.PretrainedCheckHook")]

visualizer = dict(
    type="nda_mm.EnlargedDetVisualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
)
log_processor = dict(type="LogProcessor", window_size=50)
