# Pix2Pix from outlines to digits with jigsaw negatives of the digits.
_base_ = "pix2pix_digits.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
