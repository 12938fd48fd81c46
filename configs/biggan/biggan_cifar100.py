# BigGAN on CIFAR-100, class-conditional over its 100 fine classes. The paper's settings for CIFAR-100
# are not known; these are CIFAR-10's.
_base_ = "biggan_cifar10.py"

dataset = dict(type="nda_mm.CIFAR100", data_root="data/cifar100")
model = dict(num_classes=100, generator=dict(num_classes=100), discriminator=dict(num_classes=100))
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

network = dict(type="mmpretrain", config="classifier_cifar100.py", train_if_missing=True)
val_evaluator = dict(metrics=[dict(_base_.val_evaluator.metrics[0], network=network)])
test_evaluator = val_evaluator
