# Runtime of the GANs: loops that resume exactly, checkpoints that survive a full disk, logs, sample grids.
default_scope = "mmagic"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)  # with mmengine's default, every rank would draw the same noise

env_cfg = dict(cudnn_benchmark=True)
model_wrapper_cfg = dict(
    type="MMSeparateDistributedDataParallel", broadcast_buffers=False, find_unused_parameters=False
)

optim_wrapper = dict(constructor="MultiOptimWrapperConstructor")

# Iterations are discriminator steps, as in mmagic. Recipes state their generator steps and convert them.
train_cfg = dict(type="nda_mm.ExactIterLoop", val_begin=1, val_interval=10_000)
val_cfg = dict(type="MultiValLoop")
test_cfg = dict(type="MultiTestLoop")
val_evaluator = dict(type="Evaluator")  # mmagic's; recipes set the metrics
test_evaluator = dict(type="Evaluator")

default_hooks = dict(
    runtime_info=dict(type="nda_mm.DeferredInfoHook"),
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=5_000, by_epoch=False, max_keep_ckpts=3),
)
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.SampleGridHook", interval=5_000),
]

visualizer = dict(type="Visualizer", vis_backends=[dict(type="VisBackend"), dict(type="TensorboardVisBackend")])
log_processor = dict(type="LogProcessor", by_epoch=False)
