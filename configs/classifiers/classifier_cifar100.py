# ResNet-18 for CIFAR-100, otherwise identical to classifier_cifar10.py.
_base_ = "classifier_cifar10.py"

data_root = "data/cifar100"
dataset = dict(type="nda_mm.CIFAR100", data_root=data_root)
model = dict(
    data_preprocessor=dict(num_classes=100, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]),
    head=dict(num_classes=100),
)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
