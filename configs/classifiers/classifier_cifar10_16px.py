# ResNet-18 of width 16 for CIFAR-10 at 16x16: its features define the Fréchet distance of biggan_cifar10_16px.
_base_ = "classifier_cifar10.py"

size = 16
model = dict(backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=128))
train_dataloader = dict(
    dataset=dict(
        size=size,
        pipeline=[
            dict(type="RandomCrop", crop_size=size, padding=2),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(dataset=dict(size=size))
test_dataloader = val_dataloader
