# MoCo on scikit-learn's handwritten digits: no download, minutes on two CPU cores, with its kNN accuracy on the
# held-out digits. The plain twin of the NDA recipe.
_base_ = ["../_base_/moco_runtime.py", "../_base_/datasets/moco_digits.py"]

model = dict(
    type="MoCo",
    data_preprocessor=_base_.data_preprocessor,
    feat_dim=64,
    # An epoch is 21 steps: with a longer queue or a slower key encoder the keys were those of an untrained network, and
    # the loss rose to chance.
    queue_len=256,  # a multiple of the batch of all ranks together
    momentum=0.05,  # of the step towards the query encoder; MoCo writes 0.95
    backbone=dict(type="ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16, zero_init_residual=False),
    # With batch normalization, as SimCLR's: in a new network all digits are nearly alike, and without it the loss rose.
    neck=dict(
        type="NonLinearNeck",
        in_channels=128,
        hid_channels=128,
        out_channels=64,
        num_layers=2,
        with_avg_pool=True,
    ),
    head=dict(type="ContrastiveHead", temperature=0.2, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-3))
train_cfg = dict(max_epochs=30)
custom_hooks = [*_base_.custom_hooks, _base_.knn]
default_hooks = dict(logger=dict(interval=10))
