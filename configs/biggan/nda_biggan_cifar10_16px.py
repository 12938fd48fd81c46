# BigGAN on CIFAR-10 at 16x16 with jigsaw negatives.
_base_ = "biggan_cifar10_16px.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
