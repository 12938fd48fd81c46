# Linear probe of the narrow ResNet-18 trained by moco_digits.py or nda_moco_digits.py, tested on the held-out digits:
# a minute or two on two CPU cores.
#   python tools/train.py linear_digits --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ["../_base_/linear_probe.py"]

dataset = dict(type="nda_mm.Digits", size=32, image_key="img", pipeline=[dict(type="PackInputs")])

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(  # mean and standard deviation from the pretraining
        type="ClsDataPreprocessor", num_classes=10, mean=[78.8] * 3, std=[88.9] * 3, to_rgb=False
    ),
    backbone=dict(
        type="ResNet_CIFAR",
        depth=18,
        stem_channels=16,
        base_channels=16,
        zero_init_residual=False,
        frozen_stages=4,  # includes the running statistics: frozen stages stay in eval mode
        init_cfg=dict(type="Pretrained", checkpoint="", prefix="backbone."),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=128, loss=dict(type="CrossEntropyLoss")),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(split="train", **dataset),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="test", **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1.0))
train_cfg = dict(max_epochs=20, val_interval=5)
default_hooks = dict(logger=dict(interval=20))
