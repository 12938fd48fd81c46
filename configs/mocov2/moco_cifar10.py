# MoCo v2 on CIFAR-10, ResNet-18 with the CIFAR stem: the settings of the MoCo authors' own demo on CIFAR-10
# (facebookresearch/moco, colab/moco_cifar10_demo.ipynb), with MoCo v2's projection head. Their split batch
# normalization, which imitates 8 GPUs on one, mmpretrain does not have: keys are shuffled among GPUs alone.
# On a CPU: --cfg-options model.backbone.base_channels=16 model.backbone.stem_channels=16 model.neck.in_channels=128
# and train_dataloader.dataset.every=5 for each fifth image.
_base_ = ["../_base_/moco_runtime.py", "../_base_/datasets/moco_cifar10.py"]

model = dict(
    type="MoCo",
    data_preprocessor=_base_.data_preprocessor,
    feat_dim=128,
    queue_len=4096,  # a multiple of the batch of all ranks together
    momentum=0.01,  # of the step towards the query encoder; MoCo writes 0.99
    backbone=dict(type="ResNet_CIFAR", depth=18, zero_init_residual=False),
    neck=dict(type="MoCoV2Neck", in_channels=512, hid_channels=512, out_channels=128, with_avg_pool=True),
    head=dict(type="ContrastiveHead", temperature=0.1, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=5e-4),  # for a batch of 512; 0.03 for 256
)
train_cfg = dict(max_epochs=200)
custom_hooks = [*_base_.custom_hooks, _base_.knn]
