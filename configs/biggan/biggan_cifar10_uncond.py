# BigGAN on CIFAR-10 without classes: the same networks with a single class.
_base_ = "biggan_cifar10.py"

model = dict(num_classes=1, generator=dict(num_classes=1), discriminator=dict(num_classes=1))
