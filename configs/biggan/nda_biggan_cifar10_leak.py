# What does a leak cost? One negative in 23 is an unchanged real image, as caused by a bug in the code released by the
# paper's authors. For comparison with nda_biggan_cifar10 only; see nda_mm.IdentityLeak.
_base_ = "biggan_cifar10.py"

model = dict(negative=dict(type="IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=1 / 23), fake_weight=0.25)
