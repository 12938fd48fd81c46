# BigGAN on CIFAR-10 at 16x16 with jigsaw negatives phased in over the first 250 generator steps.
_base_ = "biggan_cifar10_16px.py"

model = dict(
    negative=dict(type="Jigsaw", grid=2),
    fake_weight=dict(milestones=[(0, 1.0), (250, 0.25)], interpolate="linear"),
)
