# A linear classifier on a frozen backbone, with mmpretrain's own ImageClassifier, the MoCo authors' large learning rate
# and no weight decay. The backbone needs a MoCo checkpoint. Without one, or with one that does not fit, the run stops
# instead of training on random features:
#   python tools/train.py linear_X --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
default_scope = "mmpretrain"
channels_last = True  # faster convolutions; results differ only by rounding

randomness = dict(seed=2021, diff_rank_seed=True)

env_cfg = dict(cudnn_benchmark=True)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=30.0, momentum=0.9, weight_decay=0.0))
param_scheduler = dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=100, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_evaluator = val_evaluator

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=10, max_keep_ckpts=1),
)
custom_hooks = [dict(type="nda_mm.PretrainedCheckHook", required=True), dict(type="nda_mm.FiniteLossHook")]

visualizer = dict(
    type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
)
