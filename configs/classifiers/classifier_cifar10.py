# ResNet-18 for CIFAR-10, with the usual crops and flips. The CIFAR-10 GANs use its features for the Fréchet distance if
# the Inception weights are not available. The metrics train it when it is first needed (minutes on a GPU, hours on a
# CPU). To train it yourself: python tools/train.py classifier_cifar10
default_scope = "mmpretrain"
channels_last = True  # faster convolutions; results differ only by rounding
size = 32  # image size in pixels
max_epochs = 30
data_root = "data/cifar10"

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor",
        num_classes=10,
        mean=[125.307, 122.961, 113.8575],
        std=[51.5865, 50.847, 51.255],
        to_rgb=False,  # the data set returns RGB
    ),
    backbone=dict(type="ResNet_CIFAR", depth=18, num_stages=4, out_indices=(3,)),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=512, loss=dict(type="CrossEntropyLoss")),
)

train_dataloader = dict(
    batch_size=128,
    num_workers=0,  # reading an image takes the main process 130 us, receiving one from a worker 170
    dataset=dict(
        type="nda_mm.CIFAR10",
        data_root=data_root,
        split="train",
        image_key="img",
        pipeline=[
            dict(type="RandomCrop", crop_size=size, padding=4),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(type="PackInputs"),
        ],
    ),
    sampler=dict(type="DefaultSampler", shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    dataset=dict(
        type="nda_mm.CIFAR10", data_root=data_root, split="test", image_key="img", pipeline=[dict(type="PackInputs")]
    ),
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(
    type="OneCycleLR", eta_max=0.1, total_steps=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = {}
test_cfg = {}

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=100), checkpoint=dict(type="CheckpointHook", interval=5, max_keep_ckpts=1)
)
randomness = dict(seed=2021)
