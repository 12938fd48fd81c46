# BigGAN on CIFAR-100 without classes: the same networks with a single class.
_base_ = "biggan_cifar100.py"

model = dict(num_classes=1, generator=dict(num_classes=1), discriminator=dict(num_classes=1))
