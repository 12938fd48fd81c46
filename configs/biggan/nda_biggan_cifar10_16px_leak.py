# What does a leak cost? nda_biggan_cifar10_16px with one unchanged real image in 23 negatives, a bug in the code
# released by the paper's authors. For comparison only; see nda_mm.IdentityLeak.
_base_ = "biggan_cifar10_16px.py"

model = dict(negative=dict(type="IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=1 / 23), fake_weight=0.25)
