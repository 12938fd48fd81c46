# How a GAN is run: loops that resume exactly, checkpoints that survive a full disk, logs, sample grids.
default_scope = "mmagic"
channels_last = True  # memory format: convolutions are faster, results differ by rounding alone

randomness = dict(seed=2021, diff_rank_seed=True)  # mmengine's default would give every rank the same noise

env_cfg = dict(cudnn_benchmark=True)
model_wrapper_cfg = dict(
    type="MMSeparateDistributedDataParallel", broadcast_buffers=False, find_unused_parameters=False
)

optim_wrapper = dict(constructor="MultiOptimWrapperConstructor")

# Iterations are discriminator steps: that is how mmagic counts. A recipe states its generator steps and converts.
train_cfg = dict(type="nda_mm.ExactIterLoop", val_begin=1, val_interval=10_000)
val_cfg = dict(type="MultiValLoop")
test_cfg = dict(type="MultiTestLoop")
val_evaluator = dict(type="Evaluator")  # mmagic's; recipes name the metrics
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
