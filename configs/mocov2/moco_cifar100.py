# MoCo v2 on CIFAR-100, identical to moco_cifar10.py except for the images.
_base_ = "moco_cifar10.py"

dataset = dict(type="nda_mm.CIFAR100", data_root="data/cifar100")

data_preprocessor = dict(mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418])
model = dict(data_preprocessor=data_preprocessor)
train_dataloader = dict(dataset=dataset)
knn = dict(bank=dataset, test=dataset)
custom_hooks = [
    _base_.custom_hooks[0],
    dict(_base_.knn, bank=dict(_base_.knn.bank, **dataset), test=dict(_base_.knn.test, **dataset)),
]
