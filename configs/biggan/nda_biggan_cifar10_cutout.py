# BigGAN on CIFAR-10 with negatives that have a square cut out.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="Cutout"), fake_weight=0.25)
