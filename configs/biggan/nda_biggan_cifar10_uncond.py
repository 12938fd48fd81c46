# Unconditional BigGAN on CIFAR-10 with jigsaw negatives.
_base_ = "biggan_cifar10_uncond.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
