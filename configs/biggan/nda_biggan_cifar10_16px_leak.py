# What does a leak cost? nda_biggan_cifar10_16px with one untouched real image in 23 among the negatives, a fault of the
# code that the paper's authors released. For comparison only; see nda_mm.IdentityLeak.
_base_ = "biggan_cifar10_16px.py"

model = dict(negative=dict(type="IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=1 / 23), fake_weight=0.25)
