# BigGAN on CIFAR-10 with joined halves of two images as negatives.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="Stitch"), fake_weight=0.25)
