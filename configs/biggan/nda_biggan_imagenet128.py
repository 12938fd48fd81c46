# BigGAN 128 on ImageNet with jigsaw negatives, weighed as the paper weighs CIFAR-10's.
_base_ = "biggan_imagenet128.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
