# BigGAN on CIFAR-10 with boxes from other images as negatives.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="CutMix"), fake_weight=0.25)
