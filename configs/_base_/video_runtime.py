# Runtime of the mmaction2 recognizers: epochs that resume exactly, safe checkpoints, checks of pretrained weights.
default_scope = "mmaction"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)

val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(
        type="nda_mm.SafeCheckpointHook", interval=1, max_keep_ckpts=2, save_best="acc/top1", rule="greater"
    ),
)
custom_hooks = [dict(type="nda_mm.VideoBackboneCheckHook"), dict(type="nda_mm.FiniteLossHook")]

log_processor = dict(type="LogProcessor", window_size=20)
visualizer = dict(
    type="ActionVisualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
