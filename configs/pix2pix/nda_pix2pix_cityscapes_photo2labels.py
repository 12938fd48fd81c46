# Pix2Pix from Cityscapes' photographs to labels, with jigsaw negatives of the labels.
_base_ = "pix2pix_cityscapes_photo2labels.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
