# BigGAN on CIFAR-10 with negatives that contain a box from another image.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="CutMix"), fake_weight=0.25)
