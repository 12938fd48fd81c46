# Dense Predictive Coding (arXiv 1909.04656) with the authors' settings: 8 blocks of 5 frames of 128x128 pixels, of
# which the last 3 are predicted; Adam at 1e-3, lowered once when the loss stops falling (here after two thirds).
# The total batch size is 128 clips and each process contrasts its own: on N GPUs, set train_dataloader.batch_size=128/N
default_scope = "mmaction"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)
env_cfg = dict(cudnn_benchmark=True)

model = dict(
    type="nda_mm.DPC",
    backbone=dict(type="nda_mm.ResNet2d3d", depth=18),
    aggregator=dict(type="nda_mm.ConvGRU", in_channels=256),
    num_blocks=8,
    pred_steps=3,
    data_preprocessor=dict(
        type="ActionDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape="NCTHW",
    ),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3, weight_decay=1e-5))
param_scheduler = dict(type="MultiStepLR", by_epoch=True, milestones=[200], gamma=0.1)
train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=300)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=10, max_keep_ckpts=2),
)
custom_hooks = [dict(type="nda_mm.FiniteLossHook")]

log_processor = dict(type="LogProcessor", window_size=20)
visualizer = dict(
    type="ActionVisualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
