# Unconditional BigGAN on CelebA at 64x64 with jigsaw negatives, with the paper's fake_weight for CIFAR-10.
_base_ = "biggan_celeba64.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
