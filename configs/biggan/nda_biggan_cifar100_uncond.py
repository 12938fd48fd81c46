# Unconditional BigGAN on CIFAR-100 with jigsaw negatives.
_base_ = "biggan_cifar100_uncond.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
