# BigGAN on CIFAR-10 at 16x16 with joined halves of two images as negatives.
_base_ = "biggan_cifar10_16px.py"

model = dict(negative=dict(type="Stitch"), fake_weight=0.25)
