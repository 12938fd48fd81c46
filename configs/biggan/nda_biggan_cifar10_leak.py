# What does a leak cost? One negative in 23 is an untouched real image, as by a fault of the code that the paper's
# authors released. For comparison with nda_biggan_cifar10 only; see nda_mm.IdentityLeak.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=1 / 23), fake_weight=0.25)
