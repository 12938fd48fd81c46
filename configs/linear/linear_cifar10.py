# Linear probe of a ResNet-18 trained by moco_cifar10.py or nda_moco_cifar10.py: 100 epochs with crops and flips.
#   python tools/train.py linear_cifar10 --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ["../_base_/linear_probe.py"]

dataset = dict(type="nda_mm.CIFAR10", data_root="data/cifar10", image_key="img")

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(  # mean and standard deviation from the pretraining
        type="ClsDataPreprocessor",
        num_classes=10,
        mean=[125.307, 122.961, 113.8575],
        std=[51.5865, 50.847, 51.255],
        to_rgb=False,  # the data set returns RGB
    ),
    backbone=dict(
        type="ResNet_CIFAR",
        depth=18,
        zero_init_residual=False,
        frozen_stages=4,  # includes the running statistics: frozen stages stay in eval mode
        init_cfg=dict(type="Pretrained", checkpoint="", prefix="backbone."),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=512, loss=dict(type="CrossEntropyLoss")),
)

train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        split="train",
        pipeline=[
            dict(type="RandomResizedCrop", scale=32, crop_ratio_range=(0.2, 1.0), backend="cv2"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ],
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="test", pipeline=[dict(type="PackInputs")], **dataset),
)
test_dataloader = val_dataloader
