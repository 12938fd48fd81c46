# How a recognizer of mmaction2's is run here: epochs that resume exactly, safe checkpoints, pretrained weights checked.
default_scope = "mmaction"
channels_last = True  # memory format: convolutions are faster, results differ by rounding alone

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
