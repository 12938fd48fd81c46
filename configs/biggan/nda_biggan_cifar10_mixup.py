# BigGAN on CIFAR-10 with blends of two images as negatives.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="Mixup"), fake_weight=0.25)
