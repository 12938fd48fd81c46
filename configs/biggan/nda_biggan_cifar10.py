# BigGAN on CIFAR-10 with jigsaw negatives: this is all that NDA adds.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
