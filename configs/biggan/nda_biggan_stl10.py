# Unconditional BigGAN on STL-10 at 48x48 with jigsaw negatives, with the paper's fake_weight for CIFAR-10.
_base_ = "biggan_stl10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
