# BigGAN 128 on ImageNet with jigsaw negatives, with the paper's fake_weight for CIFAR-10.
_base_ = "biggan_imagenet128.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
