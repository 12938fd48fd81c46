# SNGAN on CIFAR-10 with jigsaw negatives, with the paper's fake_weight for BigGAN.
_base_ = "sngan_cifar10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
