# BigGAN on handwritten digits with jigsaw negatives.
_base_ = "biggan_digits.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.5)
