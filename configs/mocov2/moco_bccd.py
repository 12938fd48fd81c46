# MoCo v2 on patches of BCCD's own training photographs, without labels: the backbone of detection_bccd.py, whose keys
# and width are those of mmdet's ResNet. Half a minute an epoch on one CPU core.
# At full width: model.backbone.base_channels=64 model.backbone.stem_channels=64 model.neck.in_channels=512
_base_ = ["../_base_/moco_runtime.py", "../_base_/datasets/moco_bccd.py"]
width = 32  # of the backbone, as in detection_bccd.py

model = dict(
    type="MoCo",
    data_preprocessor=_base_.data_preprocessor,
    feat_dim=128,
    queue_len=1024,  # a multiple of the batch of all ranks together
    momentum=0.01,  # of the step towards the query encoder; MoCo writes 0.99
    backbone=dict(
        type="ResNet", depth=18, stem_channels=width, base_channels=width, expansion=1, zero_init_residual=False
    ),
    neck=dict(type="MoCoV2Neck", in_channels=8 * width, hid_channels=256, out_channels=128, with_avg_pool=True),
    head=dict(type="ContrastiveHead", temperature=0.2, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.03, momentum=0.9, weight_decay=1e-4))
train_cfg = dict(max_epochs=20)
default_hooks = dict(logger=dict(interval=8))
