# Pix2Pix on facades with jigsaw negatives of the photographs.
_base_ = "pix2pix_facades.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
