# A small classifier of scikit-learn's digits. The metrics of the digit GANs use its features and classes, and train it
# when it is first needed, in seconds on a CPU. To train it yourself: python tools/train.py classifier_digits
default_scope = "mmpretrain"
size = 16  # image size in pixels, as in biggan_digits.py
max_epochs = 12

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(type="ClsDataPreprocessor", num_classes=10, mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
    backbone=dict(
        type="ResNet_CIFAR",
        depth=18,
        stem_channels=16,
        base_channels=16,
        num_stages=3,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=64, loss=dict(type="CrossEntropyLoss")),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(
        type="nda_mm.Digits",
        split="train",
        size=size,
        image_key="img",
        pipeline=[dict(type="RandomCrop", crop_size=size, padding=1), dict(type="PackInputs")],
    ),
    sampler=dict(type="DefaultSampler", shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    dataset=dict(type="nda_mm.Digits", split="test", size=size, image_key="img", pipeline=[dict(type="PackInputs")]),
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type="Adam", lr=3e-3))
param_scheduler = dict(
    type="OneCycleLR", eta_max=3e-3, total_steps=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = {}
test_cfg = {}

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20), checkpoint=dict(type="CheckpointHook", interval=max_epochs)
)
randomness = dict(seed=2021)
