# BigGAN on CIFAR-10 with jigsaw negatives phased in over the first 5,000 generator steps.
_base_ = "biggan_cifar10.py"

model = dict(
    negative=dict(type="Jigsaw", grid=2),
    fake_weight=dict(milestones=[(0, 1.0), (5_000, 0.25)], interpolate="linear"),
)
